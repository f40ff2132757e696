"""Experiments with backpropagation: classifiers with a player per layer, on digits or on the user's own data."""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from antiphon.envs import digits, digits_arrays
from antiphon.errors import ExperimentError
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.inference import make_operator
from antiphon.grammars.library.backprop import backprop
from antiphon.grammars.library.networks import convolutional_layers, dense_layers
from antiphon.grammars.oracle import State
from antiphon.grammars.query import Kind, Port
from antiphon.recipes.common.data import DataTable, check_halvings, example_of, nature_of
from antiphon.recipes.common.recipe import Evaluation, Recipe, trained
from antiphon.recipes.common.tables import Count, EvaluationTable, Fraction


class BackpropTable(DataTable):
    """Settings of an experiment with backpropagation.

    data: "digits", or the user's own (see `DataTable`).
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
    """Make the grammar from the settings in `table`.

    Raises ExperimentError, OracleError or ShapeError if that is not possible.
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
    """Compute the accuracy, in per cent, on the whole test split of digits."""
    x, y = digits_arrays("test", table.network == "convolutional")
    hits = logits(grammar, states, x).argmax(dim=1) == y
    return Evaluation("accuracy", "images", tuple((100.0 * hits).tolist()), " %")


def logits(grammar: Grammar, states: Mapping[str, State], x: Tensor) -> Tensor:
    """Return the logits, (n, classes), of the trained network for the examples x, (n, ...)."""
    query = grammar.query
    values = {Port(query.nodes[0].name): x}
    (loss,) = (node for node in query.nodes if node.kind is Kind.LOSS)
    with torch.no_grad():
        for node in query.nodes[1:]:
            if node.kind is Kind.PLAYER:
                operator = trained(grammar, node.owner, states)
            elif node.kind is Kind.OPERATOR and node.operator is not None:
                operator = make_operator(node.operator)
                operator = operator.eval() if isinstance(operator, torch.nn.Module) else operator
            else:
                continue
            values[Port(node.name)] = operator(*(values[port] for port in node.inputs))
    return values[loss.inputs[0]]


def scaled(table: BackpropTable, layers: int) -> BackpropTable:
    """Return the table of a network with `layers` players. All hidden dense layers get the width of the first.

    Raises ExperimentError if the convolutions leave no layer for the output.
    """
    convolutions = len(table.channels) if table.network == "convolutional" else 0
    if layers <= convolutions:
        raise ExperimentError(
            f"a network of {layers} layers was asked for, and key 'backprop.channels' has {convolutions} already; "
            f"expected {convolutions + 1} or more. Use fewer channels, or more layers."
        )
    return table.model_copy(update={"widths": table.widths[:1] * (layers - convolutions - 1)})


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
