"""Experiments with supervised learning: one player is the whole classifier, on digits or the user's own data."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from antiphon.envs import digits, digits_arrays
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.networks import Perceptron
from antiphon.grammars.library.penalty import squared_norm
from antiphon.grammars.library.supervised import supervised
from antiphon.grammars.oracle import State
from antiphon.recipes.common.data import DataTable, nature_of, width_of
from antiphon.recipes.common.recipe import Evaluation, Recipe, predicted
from antiphon.recipes.common.tables import Count, EvaluationTable


class SupervisedTable(DataTable):
    """Settings of an experiment with supervised learning.

    data: "digits", or "module:function" for the user's own data: an oracle that answers (x, y), vectors and labels.
    widths: widths of the layers before the output layer.
    penalty: factor of the sum of the squared weights in the objective; 0 for no penalty.
    """

    widths: list[Count] = Field(default=[128])
    classes: Count = 10
    penalty: Annotated[float, Field(ge=0)] = 0.0001


def build(table: SupervisedTable) -> Grammar:
    """Make the grammar of supervised learning from the settings in `table`.

    Raises ExperimentError, OracleError or ShapeError for settings that do not fit together.
    """
    nature = nature_of("supervised", table, {"digits": lambda: digits(table.batch)})
    predictor = Factory.of(Perceptron, width_of("supervised", nature), table.classes, table.widths)
    penalty = Factory.of(squared_norm, weight=table.penalty, biases=False) if table.penalty else None
    return supervised(nature, predictor, penalty=penalty)


def evaluate(
    table: SupervisedTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]
) -> Evaluation:
    """Compute the accuracy of the trained classifier, in per cent, on the whole test split of digits."""
    x, y = digits_arrays("test")
    hits = predicted(grammar, states, x).argmax(dim=1) == y
    return Evaluation("accuracy", "images", tuple((100.0 * hits).tolist()), " %")


RECIPE = Recipe(
    "supervised", SupervisedTable, build, evaluate, shipped=("digits",), suite="antiphon.checks.suites.supervised:SUITE"
)
