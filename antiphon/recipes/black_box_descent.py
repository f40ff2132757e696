"""Experiments with black-box descent: a point moves to the optimum of a function, using only the function's values."""

from typing import Literal

import torch

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.black_box_descent import black_box_descent
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.types import Batch, EdgeType
from antiphon.oracles.black_box import black_box
from antiphon.oracles.directions import coordinates
from antiphon.oracles.noise import gaussian, rademacher
from antiphon.recipes.common.recipe import Recipe
from antiphon.recipes.common.tables import Count, Positive
from antiphon.recipes.gray_box_descent import GrayBoxDescentTable, evaluate


class BlackBoxDescentTable(GrayBoxDescentTable):
    """Settings of an experiment with black-box descent.

    noise: the directions in which the function is evaluated around the point. "signs" (Spall) and "gaussian": `batch`
    random directions in each round. "axes": both directions of every coordinate (central differences).
    radius: the distance from the point, as a factor of the directions.
    """

    noise: Literal["signs", "gaussian", "axes"] = "signs"
    batch: Count = 4
    radius: Positive = 0.1


def build(table: BlackBoxDescentTable) -> Grammar:
    """Make the grammar of black-box descent from the settings in `table`.

    Raises ExperimentError or OracleError for settings that cannot be used.
    """
    noise = _noise(table)
    types = EdgeType((Batch(), table.dimension), torch.float32), EdgeType((Batch(),), torch.float32)
    box = black_box(table.made, types[:1], types[1:], sizes=dict(noise.sizes))
    return black_box_descent(box, noise, table.player, direction=table.direction)


def _noise(table: BlackBoxDescentTable) -> OracleDeclaration:
    if table.noise == "axes":
        return coordinates(table.dimension, scale=table.radius)
    draw = rademacher if table.noise == "signs" else gaussian
    return draw((table.dimension,), batch=table.batch, scale=table.radius)


RECIPE = Recipe(
    "black-box-descent", BlackBoxDescentTable, build, evaluate, suite="antiphon.checks.suites.black_box_descent:SUITE"
)
