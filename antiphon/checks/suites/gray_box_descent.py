"""Test the grammar of gray-box descent: Player receives the gradient of Oracle's function, and reaches its optimum."""

from dataclasses import replace

import torch
from torch import Tensor

from antiphon.checks.suite import Case, Learning, Suite, descent
from antiphon.grammars import Arrives, Direction, EdgeType, Factory, Grammar, promised
from antiphon.grammars.library import gray_box_descent
from antiphon.grammars.library.point import Point
from antiphon.grammars.library.quadratic import Bowl
from antiphon.oracles import gray_box


class Wave:
    """A smooth random function of all coordinates together, with sine and tanh: (..., dimension) -> (...)."""

    def __init__(self, dimension: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.matrix = torch.randn(dimension, dimension, generator=generator, dtype=torch.float64) / dimension**0.5

    def __call__(self, points: Tensor) -> Tensor:
        """Return the values of the function at points, (..., dimension) -> (...). It is bounded and has many optima."""
        return (points @ self.matrix + 1).sin().sum(-1) + (points @ self.matrix).tanh().prod(-1)


def wave(seed: int) -> Grammar:
    """Make a grammar that minimises a `Wave` in two to six dimensions, or maximises it for odd seeds."""
    dimension = 2 + seed % 5
    direction = Direction.MAXIMISE if seed % 2 else Direction.MINIMISE
    return _game(dimension, Factory.of(Wave, dimension, seed), direction)


def bowl(seed: int) -> Grammar:
    """Make a grammar that minimises a random quadratic, or for odd seeds maximises its negative.

    The grammar promises that Player comes to rest at the optimum.
    """
    dimension, upside_down = 2 + seed % 4, bool(seed % 2)
    function = Factory.of(Bowl, dimension, seed, -1.0 if upside_down else 1.0)
    grammar = _game(dimension, function, Direction.MAXIMISE if upside_down else Direction.MINIMISE)
    return replace(grammar, guarantee=grammar.guarantee + promised(Arrives()))


def _game(dimension: int, function: Factory, direction: Direction) -> Grammar:
    point, value = EdgeType((dimension,), torch.float64), EdgeType((), torch.float64)
    player = Factory.of(Point, dimension, dtype=torch.float64)
    return gray_box_descent(gray_box(function, [point], [value]), player, direction=direction)


SUITE = Suite(
    "gray-box-descent",
    (
        Case("waves", wave, instances=30),
        Case("bowls", bowl, instances=4, learning=Learning(200, descent(0.2))),
    ),
)
