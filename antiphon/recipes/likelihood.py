"""Experiments with maximum likelihood and maximum a posteriori: fit a Gaussian to images or the user's own data."""

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field

from antiphon.envs import digits, digits_arrays
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.densities import GaussianDensity, normal_inverse_wishart
from antiphon.grammars.library.likelihood import maximum_a_posteriori, maximum_likelihood
from antiphon.grammars.oracle import State
from antiphon.recipes.common.data import DataTable, nature_of, width_of
from antiphon.recipes.common.recipe import Evaluation, Recipe, trained
from antiphon.recipes.common.tables import Count, EvaluationTable, Positive


class LikelihoodTable(DataTable):
    """Settings of an experiment that fits a Gaussian by maximum likelihood or maximum a posteriori.

    data: "digits", or "module:function" for the user's own data: an oracle that answers vectors x, (batch, width).
    prior: weight of the prior, as a number of examples. 0 is maximum likelihood, which has no maximum if a pixel is
    constant.
    prior_mean, prior_variance: mean and variance of the prior for every coordinate.
    examples: number of examples in the whole data set.
    """

    batch: Count = 128
    prior: Annotated[float, Field(ge=0)] = 50.0
    prior_mean: float = 0.0
    prior_variance: Positive = 0.1
    examples: Count = 1437


def build(table: LikelihoodTable) -> Grammar:
    """Make the grammar of maximum likelihood from the settings in `table`; of maximum a posteriori with a prior.

    Raises ExperimentError, OracleError or ShapeError for settings that do not fit together.
    """
    nature = nature_of("likelihood", table, {"digits": lambda: digits(table.batch)})
    width, kind = width_of("likelihood", nature), nature.questions[0].outputs[0].dtype
    density = Factory.of(GaussianDensity, width, kind)
    if not table.prior:
        return maximum_likelihood(nature, density)
    prior = Factory.of(
        normal_inverse_wishart,
        center=torch.full((width,), table.prior_mean, dtype=kind),
        scale=table.prior * table.prior_variance * torch.eye(width, dtype=kind),
        strength=table.prior,
        freedom=width + 1 + table.prior,
    )
    return maximum_a_posteriori(nature, density, prior, table.examples)


def evaluate(
    table: LikelihoodTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]
) -> Evaluation:
    """Compute the log-density, in nats, of each test image of digits under the trained Gaussian."""
    x, _ = digits_arrays("test")
    with torch.no_grad():
        played = trained(grammar, "Estimator", states)(x)
    log_density = played[0] if table.prior else played
    return Evaluation("log-likelihood", "images", tuple(log_density.tolist()), " nats")


RECIPE = Recipe(
    "likelihood", LikelihoodTable, build, evaluate, shipped=("digits",), suite="antiphon.checks.suites.likelihood:SUITE"
)
