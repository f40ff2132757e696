"""Experiments with "bootstrap your own latent": representations of images, learned without labels."""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from antiphon.envs import digits_arrays
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.byol import Head, byol
from antiphon.grammars.library.generative import DenseAnalysis
from antiphon.grammars.library.views import moved
from antiphon.grammars.oracle import State
from antiphon.oracles import uniform
from antiphon.recipes.common.data import DataTable, example_of
from antiphon.recipes.common.images import environment
from antiphon.recipes.common.recipe import Evaluation, Recipe, trained
from antiphon.recipes.common.tables import Count, EvaluationTable, Fraction

LABELS = 10
"""Number of labelled images of each digit that the evaluation uses."""


class ByolTable(DataTable):
    """Settings of an experiment with "bootstrap your own latent".

    data: "digits", "mnist", or "module:function" for the user's own images.
    widths: hidden widths of Encoder. representation, projection: widths of the outputs of Encoder and Projector.
    hidden: hidden width of Projector and Predictor. turn: largest angle by which a view is turned, in radians. shift:
    largest shift of a view, as a fraction of half the image. light: largest relative change of brightness. soft: the
    fraction of the distance that clones cover in a round.
    """

    batch: Count = 128
    widths: list[Count] = Field(default=[256])
    representation: Count = 128
    projection: Count = 32
    hidden: Count = 128
    turn: Fraction = 0.3
    shift: Fraction = 0.25
    light: Fraction = 0.3
    soft: Fraction = 0.01


def build(table: ByolTable) -> Grammar:
    """Make the grammar of "bootstrap your own latent" from the settings in `table`.

    Raises ExperimentError or OracleError for settings that do not fit together.
    """
    nature = environment("byol", table, True, "no")
    encoder = Factory.of(DenseAnalysis, example_of(nature), table.representation, tuple(table.widths))
    projector = Factory.of(Head, table.representation, table.projection, table.hidden)
    predictor = Factory.of(Head, table.projection, table.projection, table.hidden)
    view = Factory.of(moved, turn=table.turn, shift=table.shift, light=table.light)
    noise = uniform((4,), batch=table.batch)
    return byol(nature, noise, view, encoder, projector, predictor, soft=table.soft)


@torch.no_grad()
def evaluate(
    table: ByolTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]
) -> Evaluation:
    """Compute the accuracy of nearest neighbours in the representation, in per cent, on moved test images of digits.

    Each image of the test split is turned, shifted and made brighter or darker at random, as a view in training. It
    gets the label of the nearest of 10 labelled training images of each digit.
    """
    encode = trained(grammar, "Encoder", states)
    (x, y), (other, truth) = few_labels(LABELS), digits_arrays("test", image=True)
    generator = torch.Generator().manual_seed(evaluation.first_seed)
    seen = moved(other, 2 * torch.rand(len(other), 4, generator=generator) - 1, table.turn, table.shift, table.light)
    hits = nearest_label(encode(x), y, encode(seen)) == truth
    return Evaluation("accuracy on moved images", "images", tuple((100.0 * hits).tolist()), " %")


def few_labels(count: int) -> tuple[Tensor, Tensor]:
    """Return the first `count` training images of each digit, and their labels."""
    x, y = digits_arrays("train", image=True)
    rows = torch.cat([(y == digit).nonzero()[:count, 0] for digit in range(10)])
    return x[rows], y[rows]


def nearest_label(known: Tensor, labels: Tensor, asked: Tensor) -> Tensor:
    """Return, for each row of `asked`, the label of the row of `known` at the smallest angle. Rows are flattened."""
    return labels[(normalize(asked.flatten(1)) @ normalize(known.flatten(1)).T).argmax(1)]


RECIPE = Recipe("byol", ByolTable, build, evaluate, shipped=("digits",), suite="antiphon.checks.suites.byol:SUITE")
