"""Algorithms on graphs: reachable items, connected components, and a topological order."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)


def reached(starts: Iterable[Item], step: Callable[[Item], Iterable[Item]]) -> frozenset[Item]:
    """Return all items that can be reached from `starts`, including `starts`. step: a function from an item to the next
    items.

    >>> sorted(reached([3], lambda n: range(n)))
    [0, 1, 2, 3]
    """
    found: set[Item] = set()
    waiting = list(starts)
    while waiting:
        item = waiting.pop()
        if item not in found:
            found.add(item)
            waiting += step(item)
    return frozenset(found)


def components(items: Iterable[Item], links: Iterable[tuple[Item, Item]]) -> Mapping[Item, Item]:
    """Map each item to a representative of its connected component. links: pairs of connected items.

    >>> components("abc", [("a", "c")])
    {'a': 'c', 'b': 'b', 'c': 'c'}
    """
    above = {item: item for item in items}

    def root(item: Item) -> Item:
        while above[item] != item:
            item = above[item]
        return item

    for one, other in links:
        above[root(one)] = root(other)
    return {item: root(item) for item in above}


def ordered(items: Iterable[Item], needs: Mapping[Item, Iterable[Item]]) -> tuple[list[Item], list[Item]]:
    """Order the items so that each item comes after the items that it needs. Each step takes the first remaining item
    whose needs were taken before.

    Returns the ordered items, and the items that cannot be ordered because of a cycle.

    >>> ordered("abc", {"a": "c"})
    (['b', 'c', 'a'], [])
    >>> ordered("abc", {"a": "c", "c": "a"})
    (['b'], ['a', 'c'])
    """
    waiting = list(items)
    found: dict[Item, None] = {}
    while True:
        ready = next((item for item in waiting if all(need in found for need in needs.get(item, ()))), None)
        if ready is None:
            return list(found), waiting
        waiting.remove(ready)
        found[ready] = None
