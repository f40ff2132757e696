"""Test convex games: gradients, equilibria of quadratic games, and the speed of each learner on l = xy, l = -xy."""

import cmath
import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from antiphon.agents.specification import AgentSpecification
from antiphon.checks.measured import Measured
from antiphon.checks.suite import Case, Learning, Study, Suite, descent
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.grammars import Arrives, Factory, Grammar, promised
from antiphon.grammars.library.convex_game import bilinear, convex_game
from antiphon.grammars.library.point import Point
from antiphon.oracles.referee import point_referee

STEPS = (0.05, 0.1, 0.3, 0.5)
MOVES = 200


def quadratic(*plays: Tensor, player: int, coupling: Tensor, offset: Tensor) -> Tensor:
    """Return |x|^2 / 2 + <x, sum of coupling[j] y_j> + <offset, x>, 0-d, for the play x of one player.

    plays: (dimension,) each. coupling: (players, dimension, dimension). offset: (dimension,).
    """
    mine = plays[player]
    others = [coupling[index] @ each for index, each in enumerate(plays) if index != player]
    return mine.square().sum() / 2 + mine @ (torch.stack(others).sum(0) + offset)


def quadratic_game(seed: int) -> Grammar:
    """Make a game of three players with random quadratic losses. Its equilibrium is unique, because each loss
    depends more on the own play than on all others."""
    generator = torch.Generator().manual_seed(seed)
    count, dimension = 3, 1 + seed % 4
    draws = torch.rand(count, count, dimension, dimension, generator=generator, dtype=torch.float64) - 0.5
    offsets = torch.randn(count, dimension, generator=generator, dtype=torch.float64)
    names = [f"Player{index + 1}" for index in range(count)]
    losses = {
        name: Factory.of(quadratic, player=index, coupling=draws[index] / (count * dimension), offset=offsets[index])
        for index, name in enumerate(names)
    }
    grammar = convex_game(dict.fromkeys(names, Factory.of(Point, dimension, 0.3, dtype=torch.float64)), losses)
    return replace(grammar, guarantee=grammar.guarantee + promised(Arrives()))


def bilinear_game(dimension: int = 1) -> Grammar:
    """Make the game l = <x, y>, l = -<x, y> from x = y = (1, ..., 1), with a referee that reports the distance from
    zero."""
    losses = {"Min": Factory.of(bilinear, sign=1.0), "Max": Factory.of(bilinear, sign=-1.0)}
    players = dict.fromkeys(losses, Factory.of(Point, dimension, 1.0, dtype=torch.float64))
    zero = torch.zeros(dimension, dtype=torch.float64)
    return convex_game(players, losses, point_referee(dict.fromkeys(losses, zero)))


def simultaneous_factor(step: float) -> float:
    """Return the factor by which a step of descent multiplies the distance from zero on l = xy, l = -xy."""
    return math.sqrt(1 + step**2)


def extragradient_factor(step: float) -> float:
    """Return the factor of an extragradient step: |1 - i step - step^2|."""
    return abs(1 - 1j * step - step**2)


def optimistic_factor(step: float) -> float:
    """Return the factor of optimistic descent in the limit: the largest root of z^2 - (1 - 2i step) z - i step."""
    middle, root = 1 - 2j * step, cmath.sqrt((1 - 2j * step) ** 2 + 4j * step)
    return max(abs(middle + root), abs(middle - root)) / 2


LEARNERS: Mapping[str, tuple[Callable[[float], AgentSpecification], int, Callable[[float], float]]] = {
    "simultaneous": (lambda step: descent(step), 1, simultaneous_factor),
    "extragradient": (lambda step: _agent("extragradient", step), 2, extragradient_factor),
    "optimistic": (lambda step: _agent("optimistic", step), 1, optimistic_factor),
}
"""By name: the agent for a step size, the number of rounds of a move, and the factor for a step size."""


def _agent(name: str, step: float) -> AgentSpecification:
    return AgentSpecification.of(agent=name, arguments={"lr": step})


def distances(name: str, step: float, moves: int) -> list[float]:
    """Play l = xy, l = -xy, and return the distances from zero that the referee reports, one before each move."""
    agent, rounds, _ = LEARNERS[name]
    with InlineExecutor(assign(bilinear_game(), agent(step))) as play:
        found = [play.play(1).reports["Referee"]["distance"] for _ in range(moves * rounds)]
    return found[::rounds]


def fitted_factor(found: list[float]) -> float:
    """Return the factor between two successive distances, in the limit of many moves.

    Where the two roots of optimistic descent are equal, the factor of move t exceeds its limit by a part 1 / t. The
    factors of two moves are combined so that this part cancels.
    """
    last = len(found) - 1
    late, early = found[last] / found[last - 1], found[last // 2] / found[last // 2 - 1]
    return (last * late - (last // 2) * early) / (last - last // 2)


def speed(seed: int) -> Measured:
    """Measure how far the factor of a learner is from theory. The seed chooses the learner and the step size."""
    name, step = list(LEARNERS)[seed % 3], STEPS[seed // 3 % 4]
    factor, expected = fitted_factor(distances(name, step, MOVES)), LEARNERS[name][2](step)
    return Measured("all", abs(factor - expected), 1e-4, name, f"{factor:.5f}, step {step}, expected {expected:.5f}")


SUITE = Suite(
    "convex-game",
    (
        Case("quadratic", quadratic_game, instances=8, learning=Learning(200, descent(0.3))),
        Case("bilinear", lambda seed: bilinear_game(2 + seed % 4), instances=4),
    ),
    (Study("each learner's factor per move on l = xy, l = -xy is that of theory", speed, 12),),
)
