"""Experiments with target propagation, plain or with the difference correction, on a classifier of digits."""

import itertools

from pydantic import Field

from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.networks import Perceptron
from antiphon.grammars.library.target_propagation import target_propagation
from antiphon.oracles import gaussian
from antiphon.recipes.common.credit import CreditTable, accuracy, network_of
from antiphon.recipes.common.recipe import Recipe
from antiphon.recipes.common.tables import Count, Positive


class TargetPropagationTable(CreditTable):
    """Settings of an experiment with target propagation.

    inverse_widths: hidden widths of the inverses. sigma: standard deviation of the noise with which they learn.
    rate: the step of the top target along the negative gradient. difference: whether targets have the correction of
    difference target propagation.
    """

    inverse_widths: list[Count] = Field(default=[])
    sigma: Positive = 0.1
    rate: Positive = 0.1
    difference: bool = True


def build(table: TargetPropagationTable) -> Grammar:
    """Make the grammar of target propagation from the settings in `table`.

    Raises ExperimentError for settings that do not fit together.
    """
    inverses, noises = {}, {}
    for index, (inputs, outputs) in enumerate(itertools.pairwise(table.widths), start=2):
        inverses[f"Dense{index}"] = Factory.of(Perceptron, outputs, inputs, tuple(table.inverse_widths))
        noises[f"Dense{index}"] = gaussian((inputs,), batch=table.batch, scale=table.sigma)
    nature, layers = network_of("target_propagation", table)
    return target_propagation(nature, layers, inverses, noises, rate=table.rate, difference=table.difference)


RECIPE = Recipe(
    "target-propagation",
    TargetPropagationTable,
    build,
    accuracy,
    shipped=("digits",),
    suite="antiphon.checks.suites.target_propagation:SUITE",
    variants={"target-propagation-plain": {"target_propagation.difference": False}},
)
