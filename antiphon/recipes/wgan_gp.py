"""Experiments with the Wasserstein GAN with a gradient penalty: images of digits, MNIST or the user's own data."""

from collections.abc import Mapping

from pydantic import Field

from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.wgan_gp import wgan_gp
from antiphon.grammars.oracle import State
from antiphon.oracles import gaussian, uniform
from antiphon.recipes.common.data import DataTable, example_of
from antiphon.recipes.common.images import NETWORKS, SHIPPED, environment, held_out
from antiphon.recipes.common.recipe import Evaluation, Recipe
from antiphon.recipes.common.tables import Count, EvaluationTable, Fraction, Positive
from antiphon.recipes.gan import told_apart


class WganGpTable(DataTable):
    """Settings of an experiment with a Wasserstein GAN.

    data: "digits", "mnist", or "module:function" for the user's own data. latent: dimension of the noise. penalty:
    factor of the gradient penalty. widths: widths of Curator's dense layers. slope: slope of Curator's rectifiers below
    zero. forger_widths: widths of Forger's layers, in order from the noise to the image.
    """

    latent: Count = 64
    penalty: Positive = 10.0
    widths: list[Count] = Field(default=[256, 128])
    slope: Fraction = 0.2
    forger_widths: list[Count] = Field(default=[128, 256])


def build(table: WganGpTable) -> Grammar:
    """Make the grammar from the settings in `table`.

    Raises ExperimentError, OracleError or ShapeError for settings that do not fit together.
    """
    nature = environment("wgan_gp", table, False, "no")
    example, (analysis, synthesis) = example_of(nature), NETWORKS["dense"]
    forger = Factory.of(synthesis, table.latent, example, table.forger_widths, squashed=True)
    curator = Factory.of(analysis, example, 1, table.widths, slope=table.slope)
    noise, mix = gaussian((table.latent,), batch=table.batch), uniform((1,), batch=table.batch, low=0.0)
    return wgan_gp(nature, noise, mix, forger, curator, penalty=table.penalty)


def evaluate(
    table: WganGpTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]
) -> Evaluation:
    """Compute how often the nearest neighbour of an image is of the same kind (real or forged), in per cent.

    The best value is 50 %, as in `antiphon.recipes.gan`.
    """
    return told_apart(held_out(table.data, False, "no"), evaluation, grammar, states)


RECIPE = Recipe("wgan-gp", WganGpTable, build, evaluate, shipped=SHIPPED, suite="antiphon.checks.suites.wgan_gp:SUITE")
