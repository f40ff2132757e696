"""Record rounds with three choices of the parameters ("places"): initial, randomly perturbed, and after some learning.

A promise must hold for all parameters, so it is measured at each of these places.
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
"""Number of rounds of learning before the late rounds. By then, adapters are not zero, and clones not their players."""

FAR = 1010
"""Round numbers at perturbed parameters are larger by this number, so that scheduled values have changed."""

FEW = 20
"""Smallest number of random draws at each choice of parameters, unless a promise asks for fewer."""

SIZES = (1.0, 0.3, 0.1)
"""Sizes of the change of the parameters, tried in this order until every loss is finite."""


@final
class Places:
    """Recorded rounds of one grammar with one seed, at initial, at randomly perturbed, and at learned parameters.

    Each of these choices of parameters is called a place. Most rounds are run once and used to measure all promises.
    notes: for each place at which no round could be run, the reason.
    """

    def __init__(self, grammar: Grammar, seed: int, learning: Learning, further: bool = True) -> None:
        """further: if false, record rounds with the initial parameters only."""
        self.grammar, self._seed, self._learning, self._further = grammar, seed, learning, further
        self.notes: dict[str, str] = {}
        self._rounds: list[RecordedRound] = []
        self.learned_by = functools.cache(self._learned_by)

    def __iter__(self) -> Iterator[tuple[str, list[RecordedRound]]]:
        """Yield (name of the place, rounds recorded there) for each place at which rounds could be run.

        Each yielded list has one round for every set of messages that a round can send.
        """
        yield START, self._start
        if self._further and self.perturbed:
            yield PERTURBED, self.perturbed
        if self._further and self.late:
            yield LATE, self.late

    def rounds(self, count: int = 1) -> list[RecordedRound]:
        """Return the first `count` rounds, with the initial parameters, in which every player receives a response."""
        found = [each for each in self._rounds if each.whole]
        if len(found) < count:
            self._rounds = until_whole(self._play(), count)
            return self.rounds(count)
        return found[:count]

    def drawn(self, count: int) -> list[list[RecordedRound]]:
        """Return rounds with the initial parameters, in groups of rounds that send the same messages.

        The last round is the `count`-th round in which every player receives a response.
        """
        last = self.rounds(count)[-1].number
        return by_kind(each for each in self._rounds if each.number <= last)

    def draws(self, count: int) -> Iterator[tuple[str, list[RecordedRound]]]:
        """Yield (name of the place, rounds there that send the same messages), for means over random draws.

        With the initial parameters, every player receives at least `count` responses. With other parameters, a quarter
        of `count` is enough (at least `FEW`, if `count` allows): the uncertainty is larger, but a fault has the same
        size.
        """
        yield from ((START, each) for each in self.drawn(count))
        count = max(min(count, FEW), count // 4)
        for place, rounds in ((PERTURBED, self.perturbed), (LATE, self.late)):
            if rounds:
                again = self._play(rounds[0].before, rounds[0].number)
                yield from ((place, each) for each in by_kind(until_whole(again, count)))

    @functools.cached_property
    def perturbed(self) -> list[RecordedRound]:
        """Recorded rounds with randomly changed parameters, buffers and clones; empty if no such round can be run.

        If possible, the round numbers are larger by `FAR`, so that scheduled values have changed too.
        """
        start = self._start[0]

        def at(far: int, size: float, buffers: bool) -> list[RecordedRound]:
            states = perturbed(self.grammar, start.before, self._seed, size, buffers)
            return self._kinds(states, start.number + far)

        tries = [(FAR, size, True) for size in SIZES] + [(0, size, True) for size in SIZES] + [(0, SIZES[-1], False)]
        return self._first(PERTURBED, [functools.partial(at, *each) for each in tries])

    @functools.cached_property
    def late(self) -> list[RecordedRound]:
        """Recorded rounds after `PLAYED` rounds of learning; empty if no such round can be run."""
        return self._first(LATE, [lambda: self._kinds(first=PLAYED, agents=self._learning.all_agents)])

    @functools.cached_property
    def differences(self) -> Differences:
        """Tests of hand-written backward functions, at perturbed parameters if possible, else at initial parameters."""
        return Differences(self.perturbed or self._start)

    def diverged(self, states: States) -> str:
        """Return the first player with a parameter that was finite initially, but is not finite in `states`.

        Returns "" if there is no such player.
        """
        began = self._start[0].before
        players = (player.name for player in self.grammar.query.players)
        return next((name for name in players if not _finite(states[name], began[name])), "")

    def rounds_after(self, states: States, count: int = 1) -> list[RecordedRound]:
        """Record rounds that start from `states`, and return `count` rounds in which every player receives a response.

        states: the states of all players, clones and oracles after learning.
        """
        return [each for each in until_whole(self._play(states, self._learning.rounds), count) if each.whole]

    @functools.cached_property
    def _start(self) -> list[RecordedRound]:
        return self._kinds() if self._rests else self.rounds()

    @property
    def _rests(self) -> bool:
        return any(each.cadence != Cadence() for each in self.grammar.query.passes)

    def _kinds(self, states: States | None = None, first: int = 0, agents: Agents | None = None) -> list[RecordedRound]:
        """Record rounds, and return one round for every set of messages that a round can send.

        If all rounds are alike, return a single round in which every player receives a response.

        states: the states at the first round; None for the initial states. first: number of the first round.
        agents: agents that make the players move; None for fixed players.
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
        """Return all states after `players` have learned and all other players stayed fixed. None: all learn."""
        return learned(self.grammar, self._seed, self._learning.all_agents, self._learning.rounds, players)

    def _first(self, place: str, tries: list[Callable[[], list[RecordedRound]]]) -> list[RecordedRound]:
        """Call the functions in `tries` until one returns rounds with finite parameters and losses. Return the rounds.

        If every function fails, store the last reason in `notes` under `place`, and return an empty list.
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
    """Describe the original exception in a chain of exceptions (`__cause__`): its type and message."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"
