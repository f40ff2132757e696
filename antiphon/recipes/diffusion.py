"""Experiments with a denoising diffusion model: images are made from noise, step by step."""

from collections.abc import Mapping
from math import prod

import torch
from pydantic import Field
from torch import Tensor

from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.diffusion import TimedDenoiser, diffusion, sampled
from antiphon.grammars.library.networks import Perceptron
from antiphon.grammars.oracle import State
from antiphon.oracles import gaussian, uniform
from antiphon.recipes.common.data import DataTable, example_of
from antiphon.recipes.common.images import SHIPPED, environment, held_out
from antiphon.recipes.common.recipe import LOWEST, Evaluation, Recipe, trained
from antiphon.recipes.common.tables import Count, EvaluationTable
from antiphon.recipes.common.two_sample import squared_discrepancy


class DiffusionTable(DataTable):
    """Settings of an experiment with a denoising diffusion model.

    data: "digits", "mnist", or "module:function" for the user's own images. widths: hidden widths of Denoiser. waves:
    number of frequencies with which Denoiser is told the time. steps: number of steps that make an image.
    """

    batch: Count = 128
    widths: list[Count] = Field(default=[256, 256])
    waves: Count = 4
    steps: Count = 50


def build(table: DiffusionTable) -> Grammar:
    """Make the grammar of a denoising diffusion model from the settings in `table`.

    Raises ExperimentError or OracleError for settings that do not fit together.
    """
    nature = environment("diffusion", table, False, "no")
    example = example_of(nature)
    network = Factory.of(Perceptron, prod(example) + 2 * table.waves, prod(example), tuple(table.widths))
    denoiser = Factory.of(TimedDenoiser, network, table.waves)
    noise, clock = gaussian(example, batch=table.batch), uniform((), batch=table.batch, low=0.0, high=1.0)
    return diffusion(nature, noise, clock, denoiser, low=0.0, high=1.0)


def evaluate(
    table: DiffusionTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]
) -> Evaluation:
    """Compute the squared discrepancy of all test images and as many images that the trained Denoiser makes.

    It is in thousandths, and about 0 if both samples come from one distribution.
    """
    real = held_out(table.data, False, "no")
    found = squared_discrepancy(real, made(table, grammar, states, len(real), evaluation.first_seed))
    return Evaluation("discrepancy from real images", "samples", (1000.0 * found,), " / 1000", goal=LOWEST)


def made(table: DiffusionTable, grammar: Grammar, states: Mapping[str, State], count: int, seed: int) -> Tensor:
    """Return `count` images that the trained Denoiser makes from standard normal noise: (count, ...)."""
    example = [size for size in grammar.query.by_name["Denoiser"].outputs[0].shape if isinstance(size, int)]
    start = torch.randn(count, *example, generator=torch.Generator().manual_seed(seed))
    return (sampled(trained(grammar, "Denoiser", states), start, table.steps, bound=1.0) + 1) / 2


RECIPE = Recipe(
    "diffusion", DiffusionTable, build, evaluate, shipped=SHIPPED, suite="antiphon.checks.suites.diffusion:SUITE"
)
