"""Record rounds at three places: at the start, at perturbed parameters, and late, after some learning.

A promise must hold for all parameters, so it is measured at each place.
"""

import functools
from collections.abc import Callable, Iterator
from typing import final

from antiphon.checks.differences import Differences
from antiphon.checks.perturbed import perturbed
from antiphon.checks.recorded import (
    Agents,
    RecordedRound,
    States,
    by_kind,
    first_of_each_kind,
    learned,
    record,
    until_whole,
)
from antiphon.checks.suite import Learning
from antiphon.errors import FOREIGN
from antiphon.grammars import Cadence, Grammar, State

START, PERTURBED, LATE = "at the start", "at perturbed parameters", "in late rounds"

PLAYED = 13
"""Number of rounds of learning before late rounds. After them, adapters are not zero and clones differ from players."""

FAR = 1010
"""Number of rounds by which the rounds at perturbed parameters are later than the start."""

FEW = 20
"""Smallest number of draws at each place, unless the promise asks for fewer."""

SIZES = (1.0, 0.3, 0.1)
"""Sizes of the change of the parameters, tried in this order until every loss is finite."""


@final
class Places:
    """The recorded rounds of one grammar with one seed, by place. Most are played once and used for all promises.

    `notes` maps each place at which nothing can be measured to the reason.
    """

    def __init__(self, grammar: Grammar, seed: int, learning: Learning, further: bool = True) -> None:
        """further: if false, only the start is a place."""
        self.grammar, self._seed, self._learning, self._further = grammar, seed, learning, further
        self.notes: dict[str, str] = {}
        self._rounds: list[RecordedRound] = []
        self.learned_by = functools.cache(self._learned_by)

    def __iter__(self) -> Iterator[tuple[str, list[RecordedRound]]]:
        """Yield (name of the place, the first round of each kind there); for kinds see `by_kind`."""
        yield START, self._start
        if self._further and self.perturbed:
            yield PERTURBED, self.perturbed
        if self._further and self.late:
            yield LATE, self.late

    def rounds(self, count: int = 1) -> list[RecordedRound]:
        """Return the first `count` rounds in which every player receives a response. No player moves."""
        found = [each for each in self._rounds if each.whole]
        if len(found) < count:
            self._rounds = until_whole(self._play(), count)
            return self.rounds(count)
        return found[:count]

    def drawn(self, count: int) -> list[list[RecordedRound]]:
        """Return the rounds up to the `count`-th round in which every player receives a response, grouped by kind."""
        last = self.rounds(count)[-1].number
        return by_kind(each for each in self._rounds if each.number <= last)

    def draws(self, count: int) -> Iterator[tuple[str, list[RecordedRound]]]:
        """Yield (name of the place, rounds of one kind there).

        At the start every player receives at least `count` responses. At the other places a quarter of that is enough
        (at least `FEW` if `count` allows): the uncertainty is then larger, but a fault has the same size.
        """
        yield from ((START, each) for each in self.drawn(count))
        count = max(min(count, FEW), count // 4)
        for place, rounds in ((PERTURBED, self.perturbed), (LATE, self.late)):
            if rounds:
                again = self._play(rounds[0].before, rounds[0].number)
                yield from ((place, each) for each in by_kind(until_whole(again, count)))

    @functools.cached_property
    def perturbed(self) -> list[RecordedRound]:
        """Rounds at perturbed parameters, buffers and clones; empty if the instance cannot be played there.

        If possible the round numbers begin `FAR` after the start, so that scheduled values have changed too.
        """
        start = self._start[0]

        def at(far: int, size: float, buffers: bool) -> list[RecordedRound]:
            states = perturbed(self.grammar, start.before, self._seed, size, buffers)
            return self._kinds(states, start.number + far)

        tries = [(FAR, size, True) for size in SIZES] + [(0, size, True) for size in SIZES] + [(0, SIZES[-1], False)]
        return self._first(PERTURBED, [functools.partial(at, *each) for each in tries])

    @functools.cached_property
    def late(self) -> list[RecordedRound]:
        """Rounds after `PLAYED` rounds of learning with the instance's agents; empty if that is impossible."""
        return self._first(LATE, [lambda: self._kinds(first=PLAYED, agents=self._learning.all_agents)])

    @functools.cached_property
    def differences(self) -> Differences:
        """Comparisons of hand-written backward functions, at perturbed parameters if possible, else at the start."""
        return Differences(self.perturbed or self._start)

    def diverged(self, states: States) -> str:
        """Return the first player with a parameter that is not finite in `states` but was at the start; "" if none."""
        began = self._start[0].before
        players = (player.name for player in self.grammar.query.players)
        return next((name for name in players if not _finite(states[name], began[name])), "")

    def rounds_after(self, states: States, count: int = 1) -> list[RecordedRound]:
        """Return `count` rounds that start from `states` after learning, in which every player receives a response."""
        return [each for each in until_whole(self._play(states, self._learning.rounds), count) if each.whole]

    @functools.cached_property
    def _start(self) -> list[RecordedRound]:
        return self._kinds() if self._rests else self.rounds()

    @property
    def _rests(self) -> bool:
        return any(each.cadence != Cadence() for each in self.grammar.query.passes)

    def _kinds(self, states: States | None = None, first: int = 0, agents: Agents | None = None) -> list[RecordedRound]:
        """Return the first round of each kind.

        If all nodes of Q play in every round, return a single round in which every player receives a response.

        states, first, agents: see `record`.
        """
        rounds = self._play(states, first, agents)
        if self._rests:
            return first_of_each_kind(self.grammar, rounds)
        return [each for each in until_whole(rounds) if each.whole]

    def _play(
        self, states: States | None = None, first: int = 0, agents: Agents | None = None
    ) -> Iterator[RecordedRound]:
        return record(self.grammar, self._seed, states, first, agents)

    def _learned_by(self, players: frozenset[str] | None) -> States:
        """Return all states after `players` (all if None) have learned while the others stayed fixed."""
        return learned(self.grammar, self._seed, self._learning.all_agents, self._learning.rounds, players)

    def _first(self, place: str, tries: list[Callable[[], list[RecordedRound]]]) -> list[RecordedRound]:
        """Return the rounds of the first try that can be played with finite parameters and losses.

        If every try fails, note the reason of the last failure and return no rounds.
        """
        why = ""
        for play in tries:
            try:
                rounds = play()
            except FOREIGN as error:  # a user's module, operator or agent may raise anything
                why = _cause(error)
                continue
            if diverged := self.diverged(rounds[-1].before):
                why = f"the parameters of {diverged!r} are not finite there"
            elif not all(map(_has_finite_losses, rounds)):
                why = "a loss is not finite there"
            else:
                return rounds
        self.notes[place] = why
        return []


def _has_finite_losses(round: RecordedRound) -> bool:
    values = round.composed.values
    return all(
        bool(values[port].isfinite().all()) for port in round.composed.grammar.objective.losses if port in values
    )


def _finite(state: State, began: State) -> bool:
    pairs = zip(state["parameters"].values(), began["parameters"].values(), strict=True)
    return all(bool((now.isfinite() | ~first.isfinite()).all()) for now, first in pairs)


def _cause(error: BaseException) -> str:
    """Describe the first exception of a chain, as raised in a module or an operator."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"
