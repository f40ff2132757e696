"""The number of workers at which a limit is reached, and the effect of possible improvements."""

from collections.abc import Callable
from dataclasses import replace

from benchmarks.scale.model import Constants, Round, coordinator, path, seconds

MOST, FAN = 10_000_000, 32


def first(holds: Callable[[int], bool], least: int = 4) -> int | None:
    """Return the smallest number of workers, at least `least`, for which `holds` is true; None if the number is above
    about `MOST`.

    `holds` must be monotone: once true, it stays true for more workers.

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


def tree(c: Constants, r: Round, fan: int = FAN) -> float:
    """Return the modelled seconds of a call if coordinators form a tree. Each has `fan` workers or coordinators below
    it.

    The coordinators of a level work in parallel. The statistics of the two ends of an edge are compared at their lowest
    common coordinator; for neighbouring workers this is nearly always the lowest level.
    """
    levels, left = 0, float(r.workers)
    while left > 1:
        levels, left = levels + 1, left / fan
    lowest = replace(r, workers=min(fan, r.workers), messages=max(1, r.messages * fan // max(fan, r.workers)))
    return coordinator(c, lowest) + max(0, levels - 1) * fan * c.call


def nested_ring(c: Constants, r: Round, group: int = 16) -> float:
    """Return the modelled seconds of a round whose all-reduce uses a ring in each machine and a ring of the machines.

    group: workers of a machine.
    """
    if r.ring <= group:
        return seconds(c, r)
    inner = replace(r, ring=group)
    outer = replace(r, ring=max(2, r.ring // group))
    alone = path(c, replace(r, ring=1))
    at_home = path(c.on_one_machine(c.cores), inner) - path(c.on_one_machine(c.cores), replace(r, ring=1))
    return alone + at_home + path(c, outer) - alone


def sharded_hub(c: Constants, r: Round, parts: int) -> float:
    """Return the modelled seconds of a round if the busiest worker is split into `parts` copies.

    Each copy serves a part of the other workers.
    """
    return seconds(c, replace(r, hub_sends=-(-r.hub_sends // parts), hub_receives=-(-r.hub_receives // parts)))
