"""Experiments with kickback: regression with one output, one player per layer, on diabetes or the user's own data."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from antiphon.envs import diabetes, diabetes_arrays
from antiphon.errors import ExperimentError
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.kickback import kickback
from antiphon.grammars.library.kicking import Weights, kicking_layers
from antiphon.grammars.oracle import State
from antiphon.recipes.common.data import DataTable, example_of, nature_of
from antiphon.recipes.common.recipe import LOWEST, Evaluation, Recipe, deepened, predicted
from antiphon.recipes.common.tables import Count, EvaluationTable


class KickbackTable(DataTable):
    """Settings of an experiment with kickback.

    data: "diabetes", or "module:function" for the user's own data.
    channels: output channels of the convolutions. widths: widths of the dense layers before the output layer.
    units: if "signed", every second unit negates its output.
    weights: kickback's guarantee needs weights with the sign of their output unit. "coherent" weights always have this
    sign, "started" weights have it at the start, and "free" weights may have any sign.
    """

    data: str = "diabetes"
    batch: Count = 32
    channels: list[Count] = Field(default=[])
    widths: list[Count] = Field(default=[32, 32, 32])
    units: Literal["signed", "unsigned"] = "signed"
    weights: Literal["coherent", "started", "free"] = "coherent"


def build(table: KickbackTable) -> Grammar:
    """Make the kickback grammar from the settings in `table`.

    Raises ExperimentError, OracleError or ShapeError for settings that do not fit together.
    """
    nature = nature_of("kickback", table, {"diabetes": lambda: diabetes(table.batch)}, labelled=True)
    example = example_of(nature)
    if table.channels and len(example) != 3:
        raise ExperimentError(
            f"key 'kickback.channels' asks for convolutions on examples of the shape {example}; expected "
            "(channels, height, width). Use channels = [], or other data."
        )
    signed, weights = table.units == "signed", Weights(table.weights)
    return kickback(nature, kicking_layers(example, table.widths, table.channels, signed=signed, weights=weights))


def evaluate(
    table: KickbackTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]
) -> Evaluation:
    """Compute the squared errors of a trained network on the test split of diabetes.

    They are in per cent of the variance of the training targets.
    """
    x, y = diabetes_arrays("test")
    errors = 100.0 * (predicted(grammar, states, x) - y).square()
    return Evaluation("error", "patients", tuple(errors.flatten().tolist()), " % of the target's variance", goal=LOWEST)


def scaled(table: KickbackTable, layers: int) -> KickbackTable:
    """Return a copy of the settings in `table` for a network with `layers` layers.

    All hidden dense layers get the width of the first one. The number of convolutions stays.
    """
    return deepened("kickback", table, layers, len(table.channels))


RECIPE = Recipe(
    "kickback",
    KickbackTable,
    build,
    evaluate,
    shipped=("diabetes",),
    scaled=scaled,
    suite="antiphon.checks.suites.kickback:SUITE",
)
