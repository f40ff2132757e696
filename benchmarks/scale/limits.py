"""From how many workers on something is the limit, and what each remedy would bring."""

from collections.abc import Callable
from dataclasses import replace

from benchmarks.scale.model import Constants, Round, coordinator, path, seconds

MOST, FAN = 10_000_000, 32


def first(holds: Callable[[int], bool], least: int = 4) -> int | None:
    """The least number of workers for which `holds`, which must go on to hold; None if not even for `MOST`.

    >>> first(lambda workers: workers * workers > 1000)
    32
    """
    if holds(least):
        return least
    below, above = least, least
    while not holds(above):
        if above >= MOST:
            return None
        below, above = above, 2 * above
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if holds(middle) else (middle, above)
    return above


def tree(c: Constants, r: Round, rounds: int, fan: int = FAN) -> float:
    """Seconds of a call where coordinators of `fan` workers each answer to coordinators of `fan` coordinators.

    Those of a level work side by side, and one edge's two ends are compared where they first come together: nearly all
    of a neighbourhood's at the lowest level.
    """
    levels, left = 0, float(r.workers)
    while left > 1:
        levels, left = levels + 1, left / fan
    lowest = replace(r, workers=min(fan, r.workers), messages=max(1, r.messages * fan // max(fan, r.workers)))
    return coordinator(c, lowest, rounds) + max(0, levels - 1) * fan * c.call


def nested_ring(c: Constants, r: Round, group: int = 16) -> float:
    """Seconds of a round whose all-reduce is a ring within each machine, and one among the machines."""
    if r.ring <= group:
        return seconds(c, r)
    inner = replace(r, ring=group)
    outer = replace(r, ring=max(2, r.ring // group))
    alone = path(c, replace(r, ring=1))
    at_home = path(c.on_one_machine(c.cores), inner) - path(c.on_one_machine(c.cores), replace(r, ring=1))
    return alone + at_home + path(c, outer) - alone


def sharded_hub(c: Constants, r: Round, parts: int) -> float:
    """Seconds of a round in which each of so many copies of the busiest worker serves its part of the others."""
    return seconds(c, replace(r, hub_sends=-(-r.hub_sends // parts), hub_receives=-(-r.hub_receives // parts)))
