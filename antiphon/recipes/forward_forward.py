"""Experiments with the forward-forward algorithm: layers that tell digits with right from those with wrong labels."""

import itertools
from collections.abc import Mapping

import torch
from pydantic import Field

from antiphon.envs import digits, digits_arrays
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.forward_forward import forward_forward, goodness, labelled, normalised
from antiphon.grammars.library.networks import Dense
from antiphon.grammars.oracle import State
from antiphon.oracles import gaussian
from antiphon.recipes.common.data import DataTable, nature_of, width_of
from antiphon.recipes.common.recipe import Evaluation, Recipe, trained
from antiphon.recipes.common.tables import Count, EvaluationTable, Positive


class ForwardForwardTable(DataTable):
    """Settings of an experiment with the forward-forward algorithm.

    data: "digits", or "module:function" for the user's own data. widths: widths of the layers. classes: number of
    classes. threshold: the mean square of a layer's outputs at which the layer is undecided.
    """

    widths: list[Count] = Field(default=[256, 256])
    classes: Count = 10
    threshold: Positive = 0.3


def build(table: ForwardForwardTable) -> Grammar:
    """Make the forward-forward grammar from the settings in `table`.

    Raises ExperimentError for settings that do not fit together.
    """
    nature = nature_of("forward_forward", table, {"digits": lambda: digits(table.batch)}, labelled=True)
    widths = [width_of("forward_forward", nature) + table.classes, *table.widths]
    layers = {
        f"Dense{index}": Factory.of(Dense, *sizes) for index, sizes in enumerate(itertools.pairwise(widths), start=1)
    }
    noise = gaussian((table.classes,), batch=table.batch)
    return forward_forward(nature, noise, layers, table.classes, threshold=table.threshold)


@torch.no_grad()
def evaluate(
    table: ForwardForwardTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]
) -> Evaluation:
    """Compute the accuracy of a trained network, in per cent, on the whole test split of digits.

    The network's answer is the label with which the mean squares of its layers add up to most.
    """
    x, y = digits_arrays("test")
    layers = [trained(grammar, player.name, states) for player in grammar.query.players]
    found = []
    for label in range(table.classes):
        signal, sum_of_squares = labelled(x, torch.full_like(y, label), table.classes), torch.zeros(len(y))
        for layer in layers:
            signal = layer(signal)
            sum_of_squares += goodness(signal)
            signal = normalised(signal)
        found.append(sum_of_squares)
    hits = torch.stack(found, 1).argmax(1) == y
    return Evaluation("accuracy", "images", tuple((100.0 * hits).tolist()), " %")


RECIPE = Recipe(
    "forward-forward",
    ForwardForwardTable,
    build,
    evaluate,
    shipped=("digits",),
    suite="antiphon.checks.suites.forward_forward:SUITE",
)
