"""Test the grammar of black-box descent, which estimates gradients from function values at random points.

The mean estimate must be the gradient, up to an error of second order in the size of the perturbation.
"""

import itertools
from dataclasses import replace
from math import log2

import torch
from torch import Tensor

from antiphon.checks.measured import Measured
from antiphon.checks.suite import Case, Learning, Study, Suite, descent
from antiphon.checks.suites.gray_box_descent import Wave
from antiphon.envs import arrays
from antiphon.grammars import (
    Arrives,
    Batch,
    Direction,
    EdgeType,
    Estimated,
    Exact,
    Factory,
    Grammar,
    Insulated,
    OracleDeclaration,
    PlayerLoss,
    Port,
    Promise,
    promised,
)
from antiphon.grammars.library import black_box_descent
from antiphon.grammars.library.black_box_descent import simultaneous_perturbation
from antiphon.grammars.library.point import Point
from antiphon.grammars.library.quadratic import Bowl
from antiphon.oracles import black_box, coordinates, gaussian, rademacher

RADIUS = 0.1
ROUNDING = 1e-9
"""Relative rounding error that is allowed for a difference of two nearly equal float64 values."""

OF_QUADRATIC = "over all signs, or along all axes, the estimate of a quadratic's gradient"
UNBIASED = "unbiased where the function is quadratic"


def of_theta(theta: Tensor, function: Factory, sign: float) -> Tensor:
    """Return the loss of Player: function(theta) times `sign`, which is -1 if the function is maximised.

    theta: (..., dimension). function: the factory of the function. Returns (...).
    """
    return sign * function()(theta)


def signs(dimension: int) -> Tensor:
    """Return all vectors of +1 and -1, each once: (2^dimension, dimension), float64."""
    return torch.tensor(list(itertools.product([-1.0, 1.0], repeat=dimension)), dtype=torch.float64)


def every_sign(seed: int) -> Grammar:
    """Make a grammar that optimises a random quadratic, with all vectors of +1 and -1 as directions in each round.

    The mean of the gradient estimates over these directions is exactly the gradient.
    """
    dimension = 2 + seed % 3
    noise = arrays(RADIUS * signs(dimension), batch=2**dimension, shuffle=False)
    return _bowl(dimension, seed, noise, Exact(sense=OF_QUADRATIC, tolerance=ROUNDING), Arrives(("Player",)))


def axes(seed: int) -> Grammar:
    """Make a grammar that optimises a random quadratic, with central differences along every axis in each round."""
    dimension = 2 + seed % 4
    noise = coordinates(dimension, scale=RADIUS, dtype=torch.float64)
    return _bowl(dimension, seed, noise, Exact(sense=OF_QUADRATIC, tolerance=ROUNDING), Arrives(("Player",)))


def by_chance(seed: int) -> Grammar:
    """Make a grammar that optimises a random quadratic, with gradient estimates along random directions.

    If seed % 3 is 0, each round has one direction of random signs. If it is 1, each round has four such directions. If
    it is 2, each round has one Gaussian direction.
    """
    dimension = 2 + seed % 4
    make = gaussian if seed % 3 == 2 else rademacher
    noise = make((dimension,), batch=4 if seed % 3 == 1 else 1, scale=RADIUS, dtype=torch.float64)
    return _bowl(dimension, seed, noise, Estimated(bias=ROUNDING, sense=UNBIASED))


def comes_to_rest(seed: int) -> Grammar:
    """Make a grammar that minimises a random quadratic, and promise that Player comes to rest at the minimum.

    Each round estimates the gradient along one direction of random signs. The noise of this estimate is proportional to
    the gradient, so it is zero at the minimum.
    """
    noise = rademacher((2,), batch=1, scale=RADIUS, dtype=torch.float64)
    return _bowl(2, seed, noise, Estimated(bias=ROUNDING, sense=UNBIASED), Arrives(("Player",)))


def _bowl(dimension: int, seed: int, noise: OracleDeclaration, told: Exact | Estimated, *further: Promise) -> Grammar:
    """Make a grammar that minimises a random quadratic, or for odd seeds maximises its negative.

    noise: the oracle that draws the directions. told: the promise about Player's response. further: further promises.
    """
    direction = Direction.MAXIMISE if seed % 2 else Direction.MINIMISE
    sign = -1.0 if seed % 2 else 1.0
    function = Factory.of(Bowl, dimension, seed, sign)
    points, values = EdgeType((Batch(), dimension), torch.float64), EdgeType((Batch(),), torch.float64)
    box = black_box(function, [points], [values], sizes=dict(noise.sizes))
    grammar = black_box_descent(box, noise, Factory.of(Point, dimension, dtype=torch.float64), direction=direction)
    loss = PlayerLoss.of(of_theta, Port("Player"), function=function, sign=sign)
    insulated = Insulated(("Player",), ("Oracle", "Value"), taps=True)
    return replace(grammar, guarantee=promised(replace(told, players=("Player",), loss=loss), *further, insulated))


def order_of_bias(seed: int) -> Measured:
    """Test that the bias of the gradient estimate is of second order in the size of the perturbation.

    The function is a random `Wave`. The bias is exact, because it is a mean over all vectors of +1 and -1. The measured
    value is |order - 2|.
    """
    function, theta = Wave(4, seed), torch.randn(4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    gradient = torch.func.grad(function)(theta)
    biases = []
    for radius in (0.02, 0.01):
        eps = radius * signs(4)
        estimate = simultaneous_perturbation(function(theta + eps), function(theta - eps), eps)
        biases.append(float((estimate - gradient).norm()))
    order = log2(biases[0] / biases[1])
    return Measured(
        "Player", abs(order - 2), 0.05, "simultaneous_perturbation", f"order {order:.3f}, bias {biases[1]:.2g} at 0.01"
    )


SUITE = Suite(
    "black-box-descent",
    (
        Case("all signs", every_sign, instances=6, learning=Learning(200, descent(0.2))),
        Case("all axes", axes, instances=6, learning=Learning(200, descent(0.2))),
        Case("by chance", by_chance, instances=3),
        Case("at rest", comes_to_rest, instances=2, learning=Learning(600, descent(0.1))),
    ),
    (Study("the bias is of second order in the perturbation", order_of_bias, 10),),
)
