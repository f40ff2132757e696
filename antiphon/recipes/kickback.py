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

    data: "diabetes", or the user's own.
    channels, widths: of the convolutions, and of the dense layers before the output.
    units: if "signed", every second unit has a minus sign.
    weights: "coherent" weights always have the signs of kickback's guarantee, "started" weights only at first, "free"
    weights never.
    """

    data: str = "diabetes"
    batch: Count = 32
    channels: list[Count] = Field(default=[])
    widths: list[Count] = Field(default=[32, 32, 32])
    units: Literal["signed", "unsigned"] = "signed"
    weights: Literal["coherent", "started", "free"] = "coherent"


def build(table: KickbackTable) -> Grammar:
    """The grammar of a table. Raises ExperimentError, OracleError or ShapeError if its parts do not fit."""
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
    """Squared errors on the test split of diabetes, in per cent of the training targets' variance."""
    x, y = diabetes_arrays("test")
    errors = 100.0 * (predicted(grammar, states, x) - y).square()
    return Evaluation("error", "patients", tuple(errors.flatten().tolist()), " % of the target's variance")


def predicted(grammar: Grammar, states: Mapping[str, State], x: Tensor) -> Tensor:
    """The input that the trained network gives to its loss. x: (n, ...). Returns (n, 1)."""
    with torch.no_grad():
        for player in grammar.query.players:
            x, _ = trained(grammar, player.name, states)(x)
    return x


def scaled(table: KickbackTable, layers: int) -> KickbackTable:
    """The table of a network with `layers` players. All dense layers before the output get the width of the first."""
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
