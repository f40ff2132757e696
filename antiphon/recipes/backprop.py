"""Experiments with backpropagation: classifiers with one player per layer, on digits or on the user's own data."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from antiphon.envs import digits, digits_arrays
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.backprop import backprop
from antiphon.grammars.library.networks import convolutional_layers, dense_layers
from antiphon.grammars.oracle import State
from antiphon.recipes.common.data import DataTable, check_halvings, example_of, nature_of
from antiphon.recipes.common.recipe import Evaluation, Recipe, deepened, predicted
from antiphon.recipes.common.tables import Count, EvaluationTable, Fraction


class BackpropTable(DataTable):
    """Settings of an experiment with backpropagation.

    data: "digits", or "module:function" for the user's own data.
    widths: output widths of the dense layers before the output layer.
    channels: output channels of the convolutions. A max-pool halves the image after each convolution.
    classes: number of classes. dropout: probability of dropout.
    """

    network: Literal["dense", "convolutional"] = "dense"
    widths: list[Count] = Field(default=[128, 128])
    channels: list[Count] = Field(default=[16, 32])
    classes: Count = 10
    dropout: Fraction = 0.0


def build(table: BackpropTable) -> Grammar:
    """Make the grammar of backpropagation from the settings in `table`.

    Raises ExperimentError, OracleError or ShapeError for settings that do not fit together.
    """
    image = table.network == "convolutional"
    nature = nature_of("backprop", table, {"digits": lambda: digits(table.batch, image=image)}, labelled=True)
    example = example_of(nature)
    if not image:
        return backprop(nature, dense_layers(example, table.widths, table.classes, table.dropout))
    check_halvings("backprop", example, table.channels)
    return backprop(nature, convolutional_layers(example, table.channels, table.widths, table.classes, table.dropout))


def evaluate(
    table: BackpropTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]
) -> Evaluation:
    """Compute the accuracy of a trained network, in per cent, on the whole test split of digits.

    states: the saved state of each player, by name.
    """
    x, y = digits_arrays("test", table.network == "convolutional")
    hits = predicted(grammar, states, x).argmax(dim=1) == y
    return Evaluation("accuracy", "images", tuple((100.0 * hits).tolist()), " %")


def scaled(table: BackpropTable, layers: int) -> BackpropTable:
    """Return a copy of the settings in `table` for a network with `layers` layers.

    All hidden dense layers get the width of the first one. The number of convolutions stays.
    """
    convolutions = len(table.channels) if table.network == "convolutional" else 0
    return deepened("backprop", table, layers, convolutions)


CONVOLUTIONAL = {"network": "convolutional", "channels": [48, 96], "widths": [128], "dropout": 0.25}
VARIANTS = {"backprop-convolutional": {"backprop": CONVOLUTIONAL}}
RECIPE = Recipe(
    "backprop",
    BackpropTable,
    build,
    evaluate,
    shipped=("digits",),
    scaled=scaled,
    suite="antiphon.checks.suites.backprop:SUITE",
    variants=VARIANTS,
)
