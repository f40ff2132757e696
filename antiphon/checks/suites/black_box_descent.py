"""Check black-box descent: the mean estimate is the gradient, up to an error of second order in the perturbation."""

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
    """Return Player's loss: the function that Oracle holds, at theta, times `sign` (-1 to maximise)."""
    return sign * function()(theta)


def signs(dimension: int) -> Tensor:
    """Return all vectors of signs, each once: (2^dimension, dimension), float64."""
    return torch.tensor(list(itertools.product([-1.0, 1.0], repeat=dimension)), dtype=torch.float64)


def every_sign(seed: int) -> Grammar:
    """Make a grammar with a quadratic. Each batch has all vectors of signs, so the mean estimate is the gradient."""
    dimension = 2 + seed % 3
    noise = arrays(RADIUS * signs(dimension), batch=2**dimension, shuffle=False)
    return _bowl(dimension, seed, noise, Exact(sense=OF_QUADRATIC, tolerance=ROUNDING), Arrives(("Player",)))


def axes(seed: int) -> Grammar:
    """Make a grammar with a quadratic and central differences along every axis."""
    dimension = 2 + seed % 4
    noise = coordinates(dimension, scale=RADIUS, dtype=torch.float64)
    return _bowl(dimension, seed, noise, Exact(sense=OF_QUADRATIC, tolerance=ROUNDING), Arrives(("Player",)))


def by_chance(seed: int) -> Grammar:
    """Make a grammar with a quadratic and one random vector of signs in each round.

    If seed % 3 is 1, there are four vectors. If it is 2, the direction is Gaussian.
    """
    dimension = 2 + seed % 4
    make = gaussian if seed % 3 == 2 else rademacher
    noise = make((dimension,), batch=4 if seed % 3 == 1 else 1, scale=RADIUS, dtype=torch.float64)
    return _bowl(dimension, seed, noise, Estimated(bias=ROUNDING, sense=UNBIASED))


def comes_to_rest(seed: int) -> Grammar:
    """Make a grammar with a quadratic and one vector of signs in each round. Player comes to rest at the minimum.

    The noise of the estimate is proportional to the gradient, so it is zero at the minimum.
    """
    noise = rademacher((2,), batch=1, scale=RADIUS, dtype=torch.float64)
    return _bowl(2, seed, noise, Estimated(bias=ROUNDING, sense=UNBIASED), Arrives(("Player",)))


def _bowl(dimension: int, seed: int, noise: OracleDeclaration, told: Exact | Estimated, *further: Promise) -> Grammar:
    """Make a grammar that minimises a quadratic, or for odd seeds maximises its negative.

    told: the promise about Player's response. further: further promises.
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
    """Measure how much the order of the bias in the size of the perturbation differs from two, for a `Wave`.

    The bias is exact, because it is a mean over all vectors of signs.
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
