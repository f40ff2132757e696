"""Experiments with the generative adversarial network: images of digits, MNIST or the user's own data."""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.gan import gan
from antiphon.grammars.oracle import State
from antiphon.oracles import gaussian
from antiphon.recipes.common.data import DataTable, check_halvings, example_of
from antiphon.recipes.common.images import NETWORKS, SHIPPED, environment, held_out
from antiphon.recipes.common.recipe import Evaluation, Recipe, trained
from antiphon.recipes.common.tables import Count, EvaluationTable, Fraction
from antiphon.recipes.common.two_sample import nearest_neighbour_hits


class GanTable(DataTable):
    """Settings of an experiment with a GAN.

    data: "digits", "mnist", or "module:function" for the user's own data.
    latent: dimension of the noise.
    saturating: Forger's loss, where D is the probability that Curator takes an image for real. If true, Forger
    minimises E log(1 - D), as in the essay; if false, it maximises E log D.
    widths, channels: widths of Curator's dense layers, or channels of its convolutions.
    slope: slope of Curator's rectifiers below zero.
    forger_widths, forger_channels: widths or channels of Forger's layers, in order from the noise to the image.
    """

    network: Literal["dense", "convolutional"] = "dense"
    latent: Count = 64
    saturating: bool = False
    widths: list[Count] = Field(default=[256, 128])
    channels: list[Count] = Field(default=[32, 64])
    slope: Fraction = 0.2
    forger_widths: list[Count] = Field(default=[128, 256])
    forger_channels: list[Count] = Field(default=[64, 32])


def build(table: GanTable) -> Grammar:
    """Make the GAN grammar from the settings in `table`.

    Raises ExperimentError, OracleError or ShapeError for settings that do not fit together.
    """
    image = table.network == "convolutional"
    nature = environment("gan", table, image, "no")
    example = example_of(nature)
    sizes, forger_sizes = table.widths, table.forger_widths
    if image:
        sizes, forger_sizes = table.channels, table.forger_channels
        check_halvings("gan", example, sizes)
        check_halvings("gan", example, forger_sizes)
    analysis, synthesis = NETWORKS[table.network]
    forger = Factory.of(synthesis, table.latent, example, forger_sizes, squashed=True)
    curator = Factory.of(analysis, example, 1, sizes, slope=table.slope)
    noise = gaussian((table.latent,), batch=table.batch)
    return gan(nature, noise, forger, curator, saturating=table.saturating)


def evaluate(table: GanTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]) -> Evaluation:
    """Compute how often the nearest neighbour of an image is of the same kind (real or forged), in per cent.

    All test images are mixed with as many images that the trained Forger makes. The best value is 50 %: then real and
    forged images cannot be told apart in this way.
    """
    return told_apart(held_out(table.data, table.network == "convolutional", "no"), evaluation, grammar, states)


def told_apart(real: Tensor, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]) -> Evaluation:
    """Compute the evaluation of a trained Forger. real: test images. See `evaluate`."""
    hits = nearest_neighbour_hits(real, forged(grammar, states, len(real), evaluation.first_seed))
    return Evaluation("real told from forged", "images", tuple((100.0 * hits).tolist()), " %", goal=50.0)


@torch.no_grad()
def forged(grammar: Grammar, states: Mapping[str, State], count: int, seed: int) -> Tensor:
    """Return `count` images that the trained Forger makes from standard normal noise: (count, ...)."""
    latent = grammar.query.by_name["Noise.sample"].outputs[0].shape[1]
    assert isinstance(latent, int)  # only the batch is symbolic
    return trained(grammar, "Forger", states)(torch.randn(count, latent, generator=torch.Generator().manual_seed(seed)))


VARIANTS = {"gan-saturating": {"gan.saturating": True}}
RECIPE = Recipe(
    "gan", GanTable, build, evaluate, shipped=SHIPPED, suite="antiphon.checks.suites.gan:SUITE", variants=VARIANTS
)
