"""One grammar with one seed, in float64: what it plays is played once, however many promises are measured on it."""

import functools
from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor

from antiphon.checks.places import Places
from antiphon.checks.suite import Learning
from antiphon.checks.witness import States, Witnessed, kinds_of_rounds, learned, witnessed
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import PlayerLoss
from antiphon.grammars.precision import in_float64
from antiphon.grammars.reference import Composed


@final
class Instance:
    """A grammar to be measured. seed: of the run, its parameters and its oracles' draws."""

    def __init__(self, grammar: Grammar, seed: int, learning: Learning) -> None:
        self.grammar, self.seed, self.learning = in_float64(grammar), seed, learning
        self._rounds: list[Witnessed] = []

    @property
    def players(self) -> tuple[str, ...]:
        """All players, in the order in which they were declared."""
        return tuple(player.name for player in self.grammar.query.players)

    def rounds(self, count: int = 1) -> list[Witnessed]:
        """The first rounds of a run in which nobody moves and all hear something."""
        if len(self._rounds) < count:
            self._rounds = witnessed(self.grammar, self.seed, count=count)
        return self._rounds[:count]

    @functools.cached_property
    def _kinds(self) -> list[Witnessed]:
        return kinds_of_rounds(self.grammar, self.seed)

    def kinds_of_rounds(self) -> list[Witnessed]:
        """The first round of each kind: where passes rest, not the same is told in all rounds."""
        return self._kinds if self._rests else self.rounds()

    def kinds_from(self, states: States, first: int) -> list[Witnessed]:
        """The same from these states and that round on."""
        if self._rests:
            return kinds_of_rounds(self.grammar, self.seed, states, first)
        return witnessed(self.grammar, self.seed, states, first)

    @property
    def _rests(self) -> bool:
        return any(each.cadence != Cadence() for each in self.grammar.query.passes)

    @functools.cached_property
    def places(self) -> "Places":
        """Where promises of single rounds are measured."""
        return Places(self)

    def learned_by(self, players: frozenset[str] | None) -> States:
        """Everyone's state after `players` (all by default) have learned and the others held still."""
        return self._learned(players)

    def diverged(self, states: States) -> str:
        """The first player who has a parameter that is no finite number; empty if nobody has."""
        return next((name for name in self.players if not _finite(states[name]["parameters"].values())), "")

    def rounds_after(self, states: States, count: int = 1) -> list[Witnessed]:
        """Rounds in which nobody moves any more, from these states on."""
        return witnessed(self.grammar, self.seed, states, self.learning.rounds, count)

    @functools.lru_cache(maxsize=8)  # noqa: B019 - an instance lives as long as its check
    def _learned(self, players: frozenset[str] | None) -> States:
        return learned(self.grammar, self.seed, self.learning.all_agents, self.learning.rounds, players)


def _finite(parameters: Iterable[Tensor]) -> bool:
    return all(bool(each.isfinite().all()) for each in parameters)


def flat_gradient(composed: Composed, player: str, loss: PlayerLoss | None) -> Tensor:
    """The reference gradient of a player's loss, one vector over all of its parameters."""
    return flattened(composed.gradient(player, loss))


def flattened(tensors: list[Tensor]) -> Tensor:
    """One vector of all numbers, in order."""
    return torch.cat([each.reshape(-1) for each in tensors])
