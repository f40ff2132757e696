"""Walks over graphs: what is reached from some items, which items are connected, and in which order they can come."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)


def reached(starts: Iterable[Item], step: Callable[[Item], Iterable[Item]]) -> frozenset[Item]:
    """All items that `step`, from an item to the next ones, reaches from `starts`. These are included.

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
    """A representative of the connected component of each item. Links join two items.

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
    """The items, each after what it needs, otherwise in their order; and those left over, which need each other.

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
