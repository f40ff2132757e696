"""Experiments with Deviator-Actor-Critic on a bandit with a quadratic reward, whose best action is known."""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import nn

from antiphon.envs import quadratic_bandit
from antiphon.envs.bandit import TARGET
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.dac_bandit import dac_bandit
from antiphon.grammars.library.networks import StateAction
from antiphon.grammars.oracle import State
from antiphon.oracles import Annealing, gaussian
from antiphon.recipes.common.recipe import LOWEST, Evaluation, Recipe, trained
from antiphon.recipes.common.tables import Count, EvaluationTable, Index, Positive, Table


class DacBanditTable(Table):
    """Settings of an experiment with the quadratic bandit.

    dimension: dimension of the action.
    instance: seed of the bandit's reward.
    critic_widths, deviator_widths: widths of the hidden layers; an empty list makes an affine function.
    sigma_*: the standard deviation of the noise. It is sigma_start for sigma_hold rounds, and then changes linearly to
    sigma_end within sigma_rounds rounds.
    """

    dimension: Count = 10
    instance: Index = 0
    batch: Count = 256
    critic_widths: list[Count] = Field(default=[100, 10])
    deviator_widths: list[Count] = Field(default=[300, 100])
    sigma_start: Positive = 0.5
    sigma_end: Positive = 0.2
    sigma_rounds: Count = 2500
    sigma_hold: Index = 0

    @property
    def sigma(self) -> Annealing:
        """The standard deviation of the noise as a function of the round."""
        return Annealing(self.sigma_start, self.sigma_end, self.sigma_rounds, self.sigma_hold)


def build(table: DacBanditTable) -> Grammar:
    """Make the Deviator-Actor-Critic grammar on a quadratic bandit from the settings in `table`.

    The state is always 1 and Actor is linear, so Actor's parameters are its action.
    """
    size = table.dimension
    return dac_bandit(
        quadratic_bandit(size, batch=table.batch, instance=table.instance),
        gaussian((size,), batch=table.batch, scale=table.sigma),
        Factory.of(nn.Linear, 1, size, bias=False),
        Factory.of(StateAction, 1, size, 1, tuple(table.critic_widths)),
        Factory.of(StateAction, 1, size, size, tuple(table.deviator_widths)),
    )


def evaluate(
    table: DacBanditTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]
) -> Evaluation:
    """Compute the error of the trained Actor's action in each coordinate, in per cent of the best action."""
    with torch.no_grad():
        played = trained(grammar, "Actor", states)(torch.ones(1, 1)).squeeze(0)
    return Evaluation(
        "distance", "coordinates", tuple((100 * (played - TARGET).abs() / TARGET).tolist()), " %", goal=LOWEST
    )


def settings(table: DacBanditTable, round: int) -> Mapping[str, float]:
    """Return the standard deviation of the noise in the given round, for the metrics of a run."""
    return {"sigma": table.sigma.at(round)}


RECIPE = Recipe(
    "dac-bandit", DacBanditTable, build, evaluate, settings=settings, suite="antiphon.checks.suites.dac_bandit:SUITE"
)
