"""Where a promise of single rounds is measured: at the start, at perturbed parameters, in late rounds of a short play.

A promise is about all parameters, not about the first.
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
"""Rounds of the short play, after which an adapter is not zero any more, and a clone not its player."""

FAR = 1010
"""Rounds behind the start, at which perturbed parameters are played."""

FEW = 20
"""Draws that are made at each place, if as many are asked for."""

SIZES = (1.0, 0.3, 0.1)
"""How large a change of the parameters is tried: the first at which every loss is a finite number."""


@final
class Places:
    """The places of one instance. `notes` says in words of which of them nothing can be known, and why."""

    def __init__(self, instance: "Instance", further: bool = True) -> None:
        """further: whether there are others than the start."""
        self._instance, self._further = instance, further
        self.notes: dict[str, str] = {}

    def __iter__(self) -> Iterator[tuple[str, list[Witnessed]]]:
        """(name of the place, the first round of each kind there)."""
        yield START, self._instance.kinds_of_rounds()
        if not self._further:
            return
        if self.perturbed:
            yield PERTURBED, self.perturbed
        if self.late:
            yield LATE, self.late

    def draws(self, count: int) -> Iterator[tuple[str, list[Witnessed]]]:
        """(name of the place, rounds of one kind there): until everybody has heard something `count` times at the
        start, and a quarter elsewhere, where what is uncertain is larger, but a fault is as large."""
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
        """The rounds at parameters, buffers and clones that are drawn independently of each other and of the rule by
        which they begin; far behind the start, if they can be played there, so that what follows a schedule has moved
        on too. Empty where the instance cannot be played there."""
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
        """The rounds after a short play with the agents that the instance learns with. Empty as above."""
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
        """The second reference, at perturbed parameters where there are any."""
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
    """What was raised first, in a module or an operator."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"
