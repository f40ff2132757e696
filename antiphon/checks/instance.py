"""One grammar with one seed, in float64. Its rounds are played once for all promises."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from antiphon.checks.measured import NOT_FINITE, Measured
from antiphon.checks.places import Places
from antiphon.checks.suite import Learning
from antiphon.checks.witness import (
    States,
    Witnessed,
    all_until,
    by_kind,
    kinds_of_rounds,
    learned,
    moving_all,
    witnessed,
)
from antiphon.coordinator.streams import is_of_antiphon
from antiphon.errors import FOREIGN
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import PlayerLoss, Promise
from antiphon.grammars.oracle import State
from antiphon.grammars.precision import in_float64
from antiphon.grammars.promotion import in_double
from antiphon.grammars.reference import Composed
from antiphon.grammars.response import Map
from antiphon.grammars.types import dtype_name


@final
class Instance:
    """A grammar to be measured, in float64 if possible.

    seed: of the run, hence of parameters and oracles' draws.
    grammar: as it is played.
    places: where promises about single rounds are measured.
    rounding: additional relative tolerance; 0 in float64.
    """

    def __init__(self, grammar: Grammar, seed: int, learning: Learning, promoted: bool = True) -> None:
        """promoted: whether to play in float64. If not, it is played as declared, and only at the start."""
        self.seed, self.learning, self._declared = seed, learning, grammar
        self.rounding, self._remark = 0.0, ""
        if not promoted:
            self._play_coarsely("as it is played")
            self.places = Places(self, further=False)
            return
        try:
            with in_double():
                self._play(in_float64(grammar))
        except FOREIGN as error:  # a user's map may refuse float64, and raise anything
            self._play_as_declared(error)

    @property
    def players(self) -> tuple[str, ...]:
        """All players, in the order in which they were declared."""
        return tuple(player.name for player in self.grammar.query.players)

    def measured(self, promise: Promise, measure: Callable[[Promise], list[Measured]]) -> list[Measured]:
        """Measure a promise in float64, or in the declared precision if that raises or gives no finite gradient.

        In the declared precision the tolerance is looser (half of the digits), and each figure says so.
        """
        if self.grammar is not self._declared:
            try:
                with in_double():
                    return _finite_somewhere(measure(promise))
            except FOREIGN as error:  # a module may refuse float64, and raise anything
                self._play_as_declared(error)
        return list(map(self._remarked, measure(self._loosened(promise))))

    def _play(self, grammar: Grammar) -> None:
        self.grammar = grammar
        self._rounds: list[Witnessed] = []
        self._kinds: list[Witnessed] = []
        self._learned: dict[frozenset[str] | None, States] = {}
        self.places = Places(self)

    @functools.cached_property
    def as_declared(self) -> "Instance | None":
        """This instance in the precision in which it was declared, or None if R has no maps that a user wrote.

        A user's map may return other values in float64 than in the precision in which it will be played.
        """
        maps = [each for each in self.grammar.response.nodes if isinstance(each, Map)]
        if self.rounding or all(is_of_antiphon(each.operation) for each in maps):
            return None
        return Instance(self._declared, self.seed, self.learning, promoted=False)

    def _play_as_declared(self, error: BaseException) -> None:
        cause = error.__cause__ or error
        why = f"{type(cause).__name__}: {cause}".splitlines()[0]
        self._play_coarsely(f"for float64 was refused: {why}")

    def _play_coarsely(self, why: str) -> None:
        self._play(self._declared)
        coarsest = max(_floats(self._declared), key=lambda dtype: torch.finfo(dtype).eps)
        self.rounding = math.sqrt(torch.finfo(coarsest).eps)
        self._remark = f"measured in {dtype_name(coarsest)}, within {self.rounding:.2g}, {why}"

    def _loosened(self, promise: Promise) -> Promise:
        loose = {name: self.rounding for name in ("tolerance", "bias") if self.rounding > getattr(promise, name, 1.0)}
        return replace(promise, **loose)

    def _remarked(self, found: Measured) -> Measured:
        detail = "; ".join(filter(None, (found.detail, self._remark)))
        return found if found.skipped else replace(found, detail=detail)

    def rounds(self, count: int = 1) -> list[Witnessed]:
        """The first `count` rounds in which every player receives a response. No player moves."""
        found = [each for each in self._rounds if each.told.keys() == {*self.players}]
        if len(found) < count:
            self._rounds = all_until(self.grammar, self.seed, count=count)
            return self.rounds(count)
        return found[:count]

    def drawn(self, count: int) -> list[list[Witnessed]]:
        """The rounds up to the `count`-th one in which every player receives a response, grouped by kind."""
        last = self.rounds(count)[-1].number
        return by_kind(each for each in self._rounds if each.number <= last)

    def kinds_of_rounds(self) -> list[Witnessed]:
        """The first round of each kind. Two rounds are of one kind if the same messages of R are sent in both."""
        if not self._rests:
            return self.rounds()
        self._kinds = self._kinds or kinds_of_rounds(self.grammar, self.seed)
        return self._kinds

    def kinds_from(self, states: States, first: int) -> list[Witnessed]:
        """The first round of each kind when play starts from `states` at the round `first`."""
        if self._rests:
            return kinds_of_rounds(self.grammar, self.seed, states, first)
        return witnessed(self.grammar, self.seed, states, first)

    def kinds_after(self, rounds: int) -> list[Witnessed]:
        """The first round of each kind after `rounds` rounds in which all players move; they continue to move."""
        agents = moving_all(self.grammar, self.learning.all_agents)
        witnessing = kinds_of_rounds if self._rests else witnessed
        return witnessing(self.grammar, self.seed, first=rounds, agents=agents)

    @property
    def _rests(self) -> bool:
        return any(each.cadence != Cadence() for each in self.grammar.query.passes)

    def learned_by(self, players: frozenset[str] | None) -> States:
        """All states after `players` (all by default) have learned while the others stayed fixed."""
        if players not in self._learned:
            agents, rounds = self.learning.all_agents, self.learning.rounds
            self._learned[players] = learned(self.grammar, self.seed, agents, rounds, players)
        return self._learned[players]

    def diverged(self, states: States) -> str:
        """The first player with a parameter that is not finite now but was at the start; "" if there is none."""
        began = self.kinds_of_rounds()[0].before
        return next((name for name in self.players if not _finite(states[name], began[name])), "")

    def rounds_after(self, states: States, count: int = 1) -> list[Witnessed]:
        """Rounds that start from `states`, after learning. No player moves."""
        return witnessed(self.grammar, self.seed, states, self.learning.rounds, count)


def _finite_somewhere(found: list[Measured]) -> list[Measured]:
    """The figures. Raises ArithmeticError if no player has a finite gradient: -1.8e308 becomes infinite in float32."""
    if all(each.skipped == NOT_FINITE for each in found):
        raise ArithmeticError(NOT_FINITE)
    return found


def _floats(grammar: Grammar) -> set[torch.dtype]:
    """The floating-point and complex dtypes of all values and parameters."""
    found = {each.dtype for node in grammar.query.nodes for each in node.outputs}
    found |= {each.dtype for player in grammar.query.players for each in player.parameters}
    return {dtype for dtype in found if dtype.is_floating_point or dtype.is_complex}


def _finite(state: State, began: State) -> bool:
    pairs = zip(state["parameters"].values(), began["parameters"].values(), strict=True)
    return all(bool((now.isfinite() | ~first.isfinite()).all()) for now, first in pairs)


def flat_gradient(composed: Composed, player: str, loss: PlayerLoss | None) -> Tensor:
    """The reference gradient of a player's loss: one vector over all of its parameters."""
    return flattened(composed.gradient(player, loss))


def flattened(tensors: Sequence[Tensor]) -> Tensor:
    """All numbers of the tensors in order, as one vector."""
    return torch.cat([each.reshape(-1) for each in tensors])
