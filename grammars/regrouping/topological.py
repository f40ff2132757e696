"""A stable topological order: each item comes after what it needs, otherwise the order stays as it was."""

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)


def ordered(items: Iterable[Item], needs: Mapping[Item, Iterable[Item]]) -> tuple[list[Item], list[Item]]:
    """The items in that order, and the items that cannot be ordered because they need each other.

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
