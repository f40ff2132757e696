"""Experiments with REINFORCE: classifiers of stochastic units, whose hidden layers learn from the cost alone."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from antiphon.envs import digits_arrays
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.generative import DenseAnalysis
from antiphon.grammars.library.reinforce import gaussian_units, reinforce, switches
from antiphon.grammars.oracle import State
from antiphon.grammars.query import Port
from antiphon.grammars.seeds import forked
from antiphon.recipes.common.credit import CreditTable, network_of, share_right
from antiphon.recipes.common.data import example_of
from antiphon.recipes.common.recipe import Evaluation, Recipe, predicted
from antiphon.recipes.common.tables import Count, EvaluationTable, Positive


class ReinforceTable(CreditTable):
    """Settings of an experiment with REINFORCE.

    units: the density of the hidden units: 0 or 1 ("bernoulli"), or normal around the layer's output ("gaussian").
    sigma: standard deviation of normal units. baseline_widths: hidden widths of the player that predicts the cost.
    """

    widths: list[Count] = Field(default=[32])
    units: Literal["bernoulli", "gaussian"] = "bernoulli"
    sigma: Positive = 0.3
    baseline_widths: list[Count] = Field(default=[32])


def build(table: ReinforceTable) -> Grammar:
    """Make the grammar of REINFORCE from the settings in `table`.

    Raises ExperimentError for settings that do not fit together.
    """
    nature, layers = network_of("reinforce", table, apart=True)
    baseline = Factory.of(DenseAnalysis, example_of(nature), 1, tuple(table.baseline_widths))
    if table.units == "gaussian":
        return reinforce(nature, layers, baseline, Factory.of(gaussian_units, table.sigma))
    switched = {name: layer for name, layer in layers.items() if not name.startswith("Bend")}
    return reinforce(nature, switched, baseline, Factory(switches))


def evaluate(
    table: ReinforceTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]
) -> Evaluation:
    """Compute the accuracy of a trained network, in per cent, on the whole test split of digits, with one sample.

    states: the saved state of each player, by name. The sample is drawn with the seed `evaluation.first_seed`.
    """
    x, y = digits_arrays("test")
    with forked(evaluation.first_seed):
        return share_right(predicted(grammar, states, x, Port("Output")), y)


RECIPE = Recipe(
    "reinforce",
    ReinforceTable,
    build,
    evaluate,
    shipped=("digits",),
    suite="antiphon.checks.suites.reinforce:SUITE",
    variants={"reinforce-gaussian": {"reinforce.units": "gaussian"}},
)
