"""Experiments with likelihood: a Gaussian fitted to images or the user's own data, with or without a prior."""

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field

from antiphon.checks.suite import Suite
from antiphon.envs import digits, digits_arrays
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.densities import GaussianDensity, normal_inverse_wishart
from antiphon.grammars.library.likelihood import maximum_a_posteriori, maximum_likelihood
from antiphon.grammars.oracle import State
from antiphon.recipes.common.recipe import Evaluation, Recipe, trained
from antiphon.recipes.common.tables import Arguments, Count, EvaluationTable, Positive, Table
from antiphon.recipes.common.user_data import own_data, width_of


class LikelihoodTable(Table):
    """Settings of an experiment with likelihood.

    data: "digits", or "module:function", which returns an oracle's declaration; its first value, x, must be vectors.
    prior: the number of examples that it counts for; 0 is maximum likelihood, which has no maximum if some pixel is
    constant.
    prior_mean, prior_variance: the prior's, for every coordinate.
    examples: the number in the whole data set.
    """

    data: str = "digits"
    data_arguments: Arguments = Field(default={})
    batch: Count = 128
    prior: Annotated[float, Field(ge=0)] = 50.0
    prior_mean: float = 0.0
    prior_variance: Positive = 0.1
    examples: Count = 1437


def build(table: LikelihoodTable) -> Grammar:
    """The grammar of a table. Raises ExperimentError, OracleError or ShapeError if its parts do not fit."""
    if table.data == "digits":
        nature = digits(table.batch)
    else:
        nature = own_data("likelihood.data", table.data, table.data_arguments, table.batch, "'digits'")
    width, kind = width_of("likelihood.data", nature), nature.questions[0].outputs[0].dtype
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
    """The logarithm of the density of each test image of digits, in nats."""
    x, _ = digits_arrays("test")
    with torch.no_grad():
        played = trained(grammar, "Estimator", states)(x)
    log_density = played[0] if table.prior else played
    return Evaluation("log-likelihood", "images", tuple(log_density.tolist()), " nats")


def judges(table: LikelihoodTable) -> bool:
    """Whether there is a test split: the user's own data has none."""
    return table.data == "digits"


def suite() -> Suite:
    """The suite that `antiphon check` measures."""
    from antiphon.checks.suites.likelihood import SUITE  # here, since only `antiphon check` needs it

    return SUITE


RECIPE = Recipe("likelihood", LikelihoodTable, build, evaluate, judges, suite=suite)
