"""Settings and evaluation of experiments that differ in how credit reaches the layers of a classifier."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from antiphon.envs import digits, digits_arrays
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.networks import activated_layers, dense_layers
from antiphon.grammars.oracle import OracleDeclaration, State
from antiphon.recipes.common.data import DataTable, example_of, nature_of
from antiphon.recipes.common.recipe import Evaluation, predicted
from antiphon.recipes.common.tables import Count, EvaluationTable

ACTIVATIONS: Mapping[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


class CreditTable(DataTable):
    """Settings of an experiment with a dense classifier.

    data: "digits", or "module:function" for the user's own data.
    widths: widths of the hidden layers. activation: the function after each hidden layer. classes: number of classes.
    """

    widths: list[Count] = Field(default=[128, 128])
    activation: Literal["tanh", "relu"] = "tanh"
    classes: Count = 10


def network_of(key: str, table: CreditTable, apart: bool = False) -> tuple[OracleDeclaration, Mapping[str, Factory]]:
    """Return the oracle that plays the data of an experiment, and the layers of its classifier by name.

    key: the key of `table` in the experiment, for error messages. apart: whether activations are layers of their own.
    Raises ExperimentError for data that cannot be used.
    """
    nature = nature_of(key, table, {"digits": lambda: digits(table.batch)}, labelled=True)
    example, activation = example_of(nature), ACTIVATIONS[table.activation]
    if apart:
        return nature, activated_layers(example, table.widths, table.classes, activation)
    return nature, dense_layers(example, table.widths, table.classes, activation=activation)


def accuracy(
    table: CreditTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]
) -> Evaluation:
    """Compute the accuracy of a trained network, in per cent, on the whole test split of digits.

    states: the saved state of each player, by name.
    """
    x, y = digits_arrays("test")
    return share_right(predicted(grammar, states, x), y)


def share_right(logits: Tensor, y: Tensor) -> Evaluation:
    """Return the accuracy, in per cent, of guesses of the classes y, (n,). logits: (n, classes)."""
    hits = logits.argmax(dim=1) == y
    return Evaluation("accuracy", "images", tuple((100.0 * hits).tolist()), " %")
