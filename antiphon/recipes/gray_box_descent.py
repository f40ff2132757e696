"""Experiments with gray-box descent: a point moves along the gradient of a function to the function's optimum."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field

from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.gray_box_descent import gray_box_descent
from antiphon.grammars.library.point import Point
from antiphon.grammars.library.quadratic import Bowl
from antiphon.grammars.objective import Direction
from antiphon.grammars.oracle import State
from antiphon.grammars.types import EdgeType
from antiphon.oracles.gray_box import gray_box
from antiphon.plugins import find
from antiphon.recipes.common.recipe import LOWEST, Evaluation, Recipe, trained
from antiphon.recipes.common.tables import Arguments, Count, EvaluationTable, Table


class GrayBoxDescentTable(Table):
    """Settings of an experiment with gray-box descent.

    function: the function to optimise: "bowl" (a quadratic), or "module:function". The latter is called with
    function_arguments, and must return a function of points, (..., dimension) -> (...).
    start: the value of every coordinate of the first point.
    maximise: if true, maximise the function; else minimise it.
    """

    function: str = "bowl"
    function_arguments: Arguments = Field(default={})
    dimension: Count = 8
    start: float = 0.0
    maximise: bool = False

    @property
    def made(self) -> Factory:
        """The factory of the function to optimise. Raises ExperimentError if a user's function cannot be imported."""
        if self.function == "bowl":
            return Factory.of(Bowl, self.dimension, 0, -1.0 if self.maximise else 1.0)
        return Factory.of(find("function", self.function), **self.function_arguments)

    @property
    def player(self) -> Factory:
        """The factory of Player's module: the point that moves to the optimum."""
        return Factory.of(Point, self.dimension, self.start)

    @property
    def direction(self) -> Direction:
        """Whether the function is minimised or maximised."""
        return Direction.MAXIMISE if self.maximise else Direction.MINIMISE


def build(table: GrayBoxDescentTable) -> Grammar:
    """Make the grammar of gray-box descent from the settings in `table`.

    Raises ExperimentError or OracleError for settings that cannot be used.
    """
    types = EdgeType((table.dimension,), torch.float32), EdgeType((), torch.float32)
    return gray_box_descent(gray_box(table.made, types[:1], types[1:]), table.player, direction=table.direction)


def evaluate(
    table: GrayBoxDescentTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]
) -> Evaluation:
    """Compute the value of the optimised function at the point that training has reached."""
    function: Any = table.made()  # Any: a user's function made it
    with torch.no_grad():
        value = float(function(trained(grammar, "Player", states)()))
    return Evaluation("value", "points", (value,), goal=math.inf if table.maximise else LOWEST)


RECIPE = Recipe(
    "gray-box-descent", GrayBoxDescentTable, build, evaluate, suite="antiphon.checks.suites.gray_box_descent:SUITE"
)
