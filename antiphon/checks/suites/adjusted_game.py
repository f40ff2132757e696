"""Test games with adjusted gradients: random games, networks, and the speed of each adjustment on l = xy, l = -xy."""

import math
import random

import torch

from antiphon.checks.measured import Measured
from antiphon.checks.suite import Case, Study, Suite, descent
from antiphon.checks.suites.convex_game import STEPS, quadratic
from antiphon.checks.suites.gan import BATCH
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.envs import arrays
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.library import generative
from antiphon.grammars.library.adjusted_game import ADJUSTMENTS, adjusted_game, adjusted_gan, plain
from antiphon.grammars.library.convex_game import bilinear
from antiphon.grammars.library.point import Point
from antiphon.oracles import gaussian

MOVES = 20


def points(seed: int) -> Grammar:
    """Make a game of two or three players with random losses, quadratic in the own play, and linear in all others.

    The seed chooses the adjustment.
    """
    generator = torch.Generator().manual_seed(seed)
    names, dimension = [f"Player{index + 1}" for index in range(2 + seed % 2)], 1 + seed % 3
    draws = torch.randn(3, 3, dimension, dimension, generator=generator, dtype=torch.float64)
    offsets = torch.randn(3, dimension, generator=generator, dtype=torch.float64)
    losses = {
        name: Factory.of(quadratic, player=index, coupling=draws[index], offset=offsets[index])
        for index, name in enumerate(names)
    }
    players = dict.fromkeys(names, Factory.of(Point, dimension, 0.7, dtype=torch.float64))
    return adjusted_game(players, losses, Factory.of(list(ADJUSTMENTS.values())[seed % 3], weight=0.8))


def networks(seed: int) -> Grammar:
    """Make a GAN of dense networks of random widths. The seed chooses the adjustment."""
    choose, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    size, latent, width = choose.randint(2, 4), choose.randint(1, 3), choose.randint(3, 6)
    forger = Factory.of(generative.DenseSynthesis, latent, (size,), [width])
    curator = Factory.of(generative.DenseAnalysis, (size,), 1, [width], slope=0.2)
    x = arrays(torch.randn(BATCH, size, generator=generator), batch=BATCH)
    adjustment = Factory.of(list(ADJUSTMENTS.values())[seed % 3], weight=choose.choice([0.3, 1.0]))
    return adjusted_gan(x, gaussian((latent,), batch=BATCH), forger, curator, adjustment)


def factor(adjustment: str, step: float, weight: float) -> float:
    """Play l = xy, l = -xy, and return the factor by which a move multiplies the distance from the equilibrium."""
    losses = {"Min": Factory.of(bilinear, sign=1.0), "Max": Factory.of(bilinear, sign=-1.0)}
    players = dict.fromkeys(losses, Factory.of(Point, 2, 1.0, dtype=torch.float64))
    chosen = ADJUSTMENTS.get(adjustment)
    grammar = adjusted_game(players, losses, Factory.of(plain) if chosen is None else Factory.of(chosen, weight=weight))
    with InlineExecutor(assign(grammar, descent(step))) as play:
        before, after = play.states(), (play.play(MOVES), play.states())[1]
    norms = [
        math.hypot(*(float(each[name]["parameters"]["theta"].norm()) for name in losses)) for each in (before, after)
    ]
    return (norms[1] / norms[0]) ** (1 / MOVES)


def speed(seed: int) -> Measured:
    """Measure how far the factor of a move on l = xy, l = -xy is from theory: |1 - step (weight + i)|.

    With each of the three adjustments, a player's gradient is the plain one plus `weight` times its own play.
    """
    name, step, weight = list(ADJUSTMENTS)[seed % 3], STEPS[seed // 3 % 4], (0.5, 1.0)[seed // 12 % 2]
    found, expected = factor(name, step, weight), abs(1 - step * complex(weight, 1))
    return Measured("all", abs(found - expected), 1e-5, name, f"{found:.5f}, step {step}, expected {expected:.5f}")


SUITE = Suite(
    "adjusted-game",
    (
        Case("points", points, instances=9),
        Case("networks", networks, instances=6),
    ),
    (Study("each adjustment's factor per move on l = xy, l = -xy is that of theory", speed, 12),),
)
