"""Experiments with kickback: regression with one output, a player per layer, on diabetes or on data of one's own."""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from antiphon.checks.suite import Suite
from antiphon.envs import diabetes, diabetes_arrays
from antiphon.errors import ExperimentError
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.kickback import kickback
from antiphon.grammars.library.kicking import Weights, kicking_layers
from antiphon.grammars.oracle import OracleDeclaration, State
from antiphon.recipes.common.recipe import Evaluation, Recipe, trained
from antiphon.recipes.common.tables import Arguments, Count, EvaluationTable, Table
from antiphon.recipes.common.user_data import own_data


class KickbackTable(Table):
    """data: "diabetes", or "module:function" whose function returns an oracle's declaration, called with
    data_arguments. channels, widths: of the convolutions and of the dense layers before the output. units: signed ones
    have a minus in every second place. weights: "coherent" ones keep the signs of kickback's guarantee, "started" ones
    have them at first, "free" ones never."""

    data: str = "diabetes"
    data_arguments: Arguments = Field(default={})
    batch: Count = 32
    channels: list[Count] = Field(default=[])
    widths: list[Count] = Field(default=[32, 32, 32])
    units: Literal["signed", "unsigned"] = "signed"
    weights: Literal["coherent", "started", "free"] = "coherent"


def build(table: KickbackTable) -> Grammar:
    """The grammar of a table. Raises ExperimentError, OracleError or ShapeError where its parts do not fit."""
    nature = _nature(table)
    example = [size for size in nature.questions[0].outputs[0].shape if isinstance(size, int)]
    _check_image(table, example)
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
    """What the trained network plays into its loss: (n, ...) examples to (n, 1)."""
    with torch.no_grad():
        for player in grammar.query.players:
            x, _ = trained(grammar, player.name, states)(x)
    return x


def _nature(table: KickbackTable) -> OracleDeclaration:
    if table.data == "diabetes":
        return diabetes(table.batch)
    own = table.data, table.data_arguments, table.batch
    return own_data("kickback.data", *own, "'diabetes'", labelled=True)


def _check_image(table: KickbackTable, example: list[int]) -> None:
    if table.channels and len(example) != 3:
        raise ExperimentError(
            f"key 'kickback.channels' asks for convolutions on examples of the shape {tuple(example)}; expected "
            "(channels, height, width). Use channels = [], or other data."
        )


def judges(table: KickbackTable) -> bool:
    """Data of one's own comes without a test split."""
    return table.data == "diabetes"


def scaled(table: KickbackTable, layers: int) -> KickbackTable:
    """So many players: dense layers as wide as the first was, behind the convolutions if there are any."""
    hidden = layers - 1 - len(table.channels)
    if hidden < 0:
        raise ExperimentError(
            f"a network of {layers} layers was asked for, and key 'kickback.channels' has {len(table.channels)} "
            "already, before the output; expected more layers. Ask for more, or use fewer channels."
        )
    return table.model_copy(update={"widths": table.widths[:1] * hidden})


def suite() -> Suite:
    """What `antiphon check` measures."""
    from antiphon.checks.suites.kickback import SUITE  # here: whoever runs an experiment does not wait for it

    return SUITE


RECIPE = Recipe("kickback", KickbackTable, build, evaluate, judges, scaled=scaled, suite=suite)
