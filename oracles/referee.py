"""Referees: oracles that see the plays of all players of a game, and report how close they are to an equilibrium."""

import functools
from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.grammars.domains import norm
from antiphon.grammars.equilibrium import mean_regrets, nash_gap
from antiphon.grammars.factory import Factory
from antiphon.grammars.oracle import OracleDeclaration, Question, State
from antiphon.grammars.typed import typed
from antiphon.grammars.types import EdgeType


@typed
def finite_referee(losses: Mapping[str, Tensor]) -> OracleDeclaration:
    """Declare the referee of a finite game. Its question takes all strategies, and answers their Nash gap, 0-d float64.

    losses: the arguments of `finite_game`. The report has, over all rounds so far, each player's regret and swap
    regret; `gap` and `coarse_gap`, the distances of the average joint play from a correlated and from a coarse
    correlated equilibrium: the largest swap regret, and the largest regret, per round; and `nash_gap` of the last
    strategies.
    """
    tables = tuple(losses.values())
    inputs = tuple(EdgeType((actions,), tables[0].dtype) for actions in tables[0].shape)
    return _declare(Factory.of(FiniteReferee, tuple(losses), tables), inputs)


@typed
def point_referee(equilibrium: Mapping[str, Tensor]) -> OracleDeclaration:
    """Declare the referee of a game of points. Its question takes all points, and answers their distance from the
    equilibrium, 0-d float64.

    equilibrium: each player's point, (dimension,). The report has the `distance` of the last plays, and of the mean
    of all plays so far.
    """
    points = tuple(equilibrium.values())
    return _declare(Factory.of(PointReferee, points), tuple(EdgeType(tuple(each.shape), each.dtype) for each in points))


def _declare(factory: Factory, inputs: tuple[EdgeType, ...]) -> OracleDeclaration:
    return OracleDeclaration(factory, (Question("judge", inputs, (EdgeType((), torch.float64),)),))


@final
class FiniteReferee:
    """Adds up the joint distributions of all rounds of a finite game; regrets and gaps follow from the sum."""

    def __init__(self, names: Sequence[str], tables: Sequence[Tensor], *, seed: int) -> None:
        self._names, self._tables = tuple(names), [each.double() for each in tables]
        self._joint, self._rounds, self._nash_gap = torch.zeros_like(self._tables[0]), 0, 0.0

    @torch.no_grad()
    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Return the Nash gap of the strategies of this round, 0-d."""
        strategies = [each.double() for each in inputs]
        self._joint += functools.reduce(lambda joint, each: joint[..., None] * each, strategies)
        self._rounds, self._nash_gap = self._rounds + 1, nash_gap(strategies, self._tables)
        return (torch.tensor(self._nash_gap, dtype=torch.float64),)

    def report(self) -> Mapping[str, float]:
        """Return regrets and gaps of all rounds so far. See `finite_referee`."""
        means = mean_regrets(self._joint / max(self._rounds, 1), self._tables)
        told = {"gap": max(swap for _, swap in means), "coarse_gap": max(fixed for fixed, _ in means)}
        for name, (fixed, swap) in zip(self._names, means, strict=True):
            told |= {f"regret_of_{name}": fixed * self._rounds, f"swap_regret_of_{name}": swap * self._rounds}
        return {**told, "nash_gap": self._nash_gap}

    def state(self) -> State:
        """Return the sum of the joint distributions, the number of rounds, and the last Nash gap."""
        return {"joint": self._joint.clone(), "rounds": self._rounds, "nash_gap": self._nash_gap}

    def load(self, state: State) -> None:
        """Continue from a state."""
        self._joint, self._rounds, self._nash_gap = state["joint"].clone(), state["rounds"], state["nash_gap"]

    def close(self) -> None:
        """Do nothing: there are no resources to release."""


@final
class PointReferee:
    """Measures the distance of all players' points, and of their means over rounds, from an equilibrium."""

    def __init__(self, equilibrium: Sequence[Tensor], *, seed: int) -> None:
        self._equilibrium = [each.double() for each in equilibrium]
        self._sums, self._rounds, self._distance = [torch.zeros_like(each) for each in self._equilibrium], 0, 0.0

    @torch.no_grad()
    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Return the distance of the points of this round from the equilibrium, 0-d."""
        self._sums = [sum + each for sum, each in zip(self._sums, inputs, strict=True)]
        self._rounds, self._distance = self._rounds + 1, self._away(inputs)
        return (torch.tensor(self._distance, dtype=torch.float64),)

    def report(self) -> Mapping[str, float]:
        """Return the distances of the last points, and of the means of all points."""
        means = [each / max(self._rounds, 1) for each in self._sums]
        return {"distance": self._distance, "distance_of_mean": self._away(means)}

    def _away(self, points: Sequence[Tensor]) -> float:
        return norm([point - rest for point, rest in zip(points, self._equilibrium, strict=True)])

    def state(self) -> State:
        """Return the sums of all points, the number of rounds, and the last distance."""
        return {"sums": [each.clone() for each in self._sums], "rounds": self._rounds, "distance": self._distance}

    def load(self, state: State) -> None:
        """Continue from a state."""
        self._sums = [each.clone() for each in state["sums"]]
        self._rounds, self._distance = state["rounds"], state["distance"]

    def close(self) -> None:
        """Do nothing: there are no resources to release."""
