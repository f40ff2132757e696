"""Where promises about single rounds are measured: at the start, at perturbed parameters, in late rounds.

A promise holds for all parameters, not only for the initial ones.
"""

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, final

from antiphon.checks.differences import Differences
from antiphon.checks.perturbed import perturbed
from antiphon.checks.witness import Witnessed, all_until, by_kind
from antiphon.errors import FOREIGN

if TYPE_CHECKING:
    from antiphon.checks.instance import Instance

START, PERTURBED, LATE = "at the start", "at perturbed parameters", "in late rounds"

PLAYED = 13
"""Number of rounds of the short play. After them an adapter is no longer zero, and a clone differs from its player."""

FAR = 1010
"""The number of rounds after the start at which perturbed parameters are played."""

FEW = 20
"""Smallest number of draws at each place, unless fewer are asked for."""

SIZES = (1.0, 0.3, 0.1)
"""Sizes of the change of the parameters, tried in this order until every loss is finite."""


@final
class Places:
    """The places of one instance. `notes` tells for which of them nothing can be measured, and why."""

    def __init__(self, instance: "Instance", further: bool = True) -> None:
        """further: whether to measure at other places than the start."""
        self._instance, self._further = instance, further
        self.notes: dict[str, str] = {}

    def __iter__(self) -> Iterator[tuple[str, list[Witnessed]]]:
        """Yields (name of the place, the first round of each kind there)."""
        yield START, self._instance.kinds_of_rounds()
        if not self._further:
            return
        if self.perturbed:
            yield PERTURBED, self.perturbed
        if self.late:
            yield LATE, self.late

    def draws(self, count: int) -> Iterator[tuple[str, list[Witnessed]]]:
        """Yields (name of the place, rounds of one kind there).

        At the start every player receives `count` responses. Elsewhere a quarter is enough: the uncertainty is larger
        there, but a fault is as large.
        """
        instance = self._instance
        yield from ((START, each) for each in instance.drawn(count))
        count = max(min(count, FEW), count // 4)
        if self.perturbed:
            yield from ((PERTURBED, each) for each in self._more(self.perturbed[0], count))
        if self.late:
            yield from ((LATE, each) for each in self._more(self.late[0], count))

    def _more(self, first: Witnessed, count: int) -> list[list[Witnessed]]:
        return by_kind(all_until(self._instance.grammar, self._instance.seed, first.before, first.number, count))

    @functools.cached_property
    def perturbed(self) -> list[Witnessed]:
        """Rounds at perturbed parameters, buffers and clones; empty if the instance cannot be played there.

        They are far behind the start if possible, so that whatever follows a schedule has changed too.
        """
        instance, why = self._instance, ""
        start = instance.kinds_of_rounds()[0]
        tries = [(FAR, size, True) for size in SIZES] + [(0, size, True) for size in SIZES] + [(0, SIZES[-1], False)]
        for far, size, buffers in tries:
            try:
                states = perturbed(instance.grammar, start.before, instance.seed, size, buffers)
                rounds = instance.kinds_from(states, start.number + far)
            except FOREIGN as error:  # a user's module or operator may raise anything
                why = _cause(error)
                continue
            if _finite(rounds):
                return rounds
            why = "a loss is no finite number there"
        return self._nothing(PERTURBED, why)

    @functools.cached_property
    def late(self) -> list[Witnessed]:
        """Rounds after a short play with the instance's agents; empty if the instance cannot be played there."""
        instance = self._instance
        try:
            rounds = instance.kinds_after(PLAYED)
            if diverged := instance.diverged(rounds[-1].before):
                return self._nothing(LATE, f"the parameters of {diverged!r} are no numbers there")
        except FOREIGN as error:  # a user's module, operator or agent may raise anything
            return self._nothing(LATE, _cause(error))
        return rounds if _finite(rounds) else self._nothing(LATE, "a loss is no finite number there")

    @functools.cached_property
    def differences(self) -> Differences:
        """The second reference, at perturbed parameters if there are any."""
        return Differences(self.perturbed or self._instance.kinds_of_rounds())

    def _nothing(self, place: str, why: str) -> list[Witnessed]:
        self.notes[place] = why
        return []


def _finite(rounds: list[Witnessed]) -> bool:
    return all(
        bool(each.composed.values[port].isfinite().all())
        for each in rounds
        for port in each.composed.grammar.objective.losses
        if port in each.composed.values
    )


def _cause(error: BaseException) -> str:
    """The first exception of a chain, as raised in a module or an operator."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"
