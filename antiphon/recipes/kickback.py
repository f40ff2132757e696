"""Experiments with kickback: regression with one output and a player per layer, on diabetes or the user's own data."""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from antiphon.envs import diabetes, diabetes_arrays
from antiphon.errors import ExperimentError
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.kickback import kickback
from antiphon.grammars.library.kicking import Weights, kicking_layers
from antiphon.grammars.oracle import State
from antiphon.recipes.common.data import DataTable, example_of, nature_of
from antiphon.recipes.common.recipe import Evaluation, Recipe, trained
from antiphon.recipes.common.tables import Count, EvaluationTable


class KickbackTable(DataTable):
    """Settings of an experiment with kickback.

    data: "diabetes", or the user's own (see `DataTable`).
    channels: output channels of the convolutions. widths: widths of the dense layers before the output layer.
    units: if "signed", every second unit negates its output.
    weights: the signs that kickback's guarantee needs. "coherent" weights always have them, "started" weights have them
    at the start, and "free" weights may have any signs.
    """

    data: str = "diabetes"
    batch: Count = 32
    channels: list[Count] = Field(default=[])
    widths: list[Count] = Field(default=[32, 32, 32])
    units: Literal["signed", "unsigned"] = "signed"
    weights: Literal["coherent", "started", "free"] = "coherent"


def build(table: KickbackTable) -> Grammar:
    """Make the grammar from the settings in `table`.

    Raises ExperimentError, OracleError or ShapeError if that is not possible.
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
    """Compute the squared errors on the test split of diabetes, in per cent of the variance of the training targets."""
    x, y = diabetes_arrays("test")
    errors = 100.0 * (predicted(grammar, states, x) - y).square()
    return Evaluation("error", "patients", tuple(errors.flatten().tolist()), " % of the target's variance")


def predicted(grammar: Grammar, states: Mapping[str, State], x: Tensor) -> Tensor:
    """Return the outputs, (n, 1), of the trained network for the examples x, (n, ...)."""
    with torch.no_grad():
        for player in grammar.query.players:
            x, _ = trained(grammar, player.name, states)(x)
    return x


def scaled(table: KickbackTable, layers: int) -> KickbackTable:
    """Return the table of a network with `layers` players. All hidden dense layers get the width of the first.

    Raises ExperimentError if the convolutions leave no layer for the output.
    """
    hidden = layers - 1 - len(table.channels)
    if hidden < 0:
        raise ExperimentError(
            f"a network of {layers} layers was asked for, and key 'kickback.channels' has {len(table.channels)} "
            "already, before the output; expected more layers. Ask for more, or use fewer channels."
        )
    return table.model_copy(update={"widths": table.widths[:1] * hidden})


RECIPE = Recipe(
    "kickback",
    KickbackTable,
    build,
    evaluate,
    shipped=("diabetes",),
    scaled=scaled,
    suite="antiphon.checks.suites.kickback:SUITE",
)
