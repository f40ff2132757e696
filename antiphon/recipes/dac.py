"""Experiments with Deviator-Actor-Critic: continuous control in a Gymnasium environment."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from antiphon.envs.returns import played_episodes
from antiphon.envs.video import film_episode
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.dac import dac
from antiphon.grammars.library.networks import StateAction
from antiphon.grammars.oracle import OracleDeclaration, State
from antiphon.oracles import Annealing, gaussian, ornstein_uhlenbeck, rademacher
from antiphon.recipes.common.control_table import ControlTable, environment_of, options, parts, policy_of
from antiphon.recipes.common.recipe import Evaluation, Quantity, Recipe, deepened
from antiphon.recipes.common.tables import Count, EvaluationTable, Index, Positive, Share


class DacTable(ControlTable):
    """Settings of an experiment with an actor and a critic, whose actions get noise: those of `ControlTable`, and more.

    sigma_*: the standard deviation of the noise. It is sigma_start for sigma_hold rounds, and then changes linearly to
    sigma_end within sigma_rounds rounds.
    noise: how the noise is drawn. theta: for "ornstein-uhlenbeck", the part of the noise that is drawn anew in a step.
    """

    sigma_start: Positive = 0.4
    sigma_end: Positive = 0.1
    sigma_rounds: Count = 14_000
    sigma_hold: Index = 0
    noise: Literal["gaussian", "ornstein-uhlenbeck", "rademacher"] = "gaussian"
    theta: Share = 0.15

    @property
    def sigma(self) -> Annealing:
        """The standard deviation of the noise as a function of the round, in the units of Actor's output."""
        return Annealing(self.sigma_start, self.sigma_end, self.sigma_rounds, self.sigma_hold)


def build(table: DacTable) -> Grammar:
    """Make the Deviator-Actor-Critic grammar from the settings in `table`.

    Raises OracleError for an environment that cannot be used, ExperimentError for settings that contradict each other.
    """
    made = parts(table)
    deviator = Factory.of(StateAction, made.state, made.action, made.action, tuple(table.widths))
    wind = wind_of(table, made.action)
    return dac(made.world, wind, made.actor, made.critic, deviator, **options(table, made))


def wind_of(table: DacTable, action: int) -> OracleDeclaration:
    """Declare the noise that is added to the actions of all copies. action: width of an action."""
    common = {"batch": table.envs, "symbol": "envs", "scale": table.sigma}
    if table.noise == "ornstein-uhlenbeck":
        return ornstein_uhlenbeck((action,), theta=table.theta, **common)
    return (rademacher if table.noise == "rademacher" else gaussian)((action,), **common)


def evaluate(
    table: ControlTable,
    evaluation: EvaluationTable,
    grammar: Grammar,
    states: Mapping[str, State],
    act: Callable[[Any, Tensor], Tensor] = nn.Module.__call__,
) -> Evaluation:
    """Compute the returns of episodes in which the trained Actor acts without noise, one episode per seed.

    states: the saved state of each player and of Nature, by name. If Nature scales observations, Actor sees them scaled
    by the saved statistics, which do not change during the evaluation. act: a function of Actor's module and of what it
    sees, which returns the action.
    """
    seeds = range(evaluation.first_seed, evaluation.first_seed + evaluation.episodes)
    policy = policy_of(table, grammar, states, act)
    returns, cut = played_episodes(
        environment_of(table.environment),
        policy,
        seeds,
        keywords=table.keywords,
        max_steps=evaluation.max_steps,
    )
    return Evaluation("return", "episodes", tuple(returns), cut=cut)


def film(
    table: ControlTable,
    evaluation: EvaluationTable,
    grammar: Grammar,
    states: Mapping[str, State],
    file: Path,
    act: Callable[[Any, Tensor], Tensor] = nn.Module.__call__,
) -> None:
    """Write a video of the first episode of an evaluation. states, act: as for `evaluate`.

    Raises OracleError for an environment that renders no pictures, before it plays.
    """
    policy, environment = policy_of(table, grammar, states, act), environment_of(table.environment)
    film_episode(
        environment, policy, evaluation.first_seed, file, keywords=table.keywords, max_steps=evaluation.max_steps
    )


def settings(table: DacTable, round: int) -> Mapping[str, float]:
    """Return the standard deviation of the noise in the given round, for the metrics of a run."""
    return {"sigma": table.sigma.at(round)}


def scaled(table: DacTable, layers: int) -> DacTable:
    """Return a copy of the settings in `table` in which each player's network has `layers` layers.

    All hidden layers get the width of the first one.
    """
    return deepened("dac", table, layers)


FIGURES: Mapping[str, Mapping[str, Quantity]] = {"Critic": {"mean_q": "mean"}, "Deviator": {"norm_of_g": "norm"}}
"""Critic's mean value, and the mean length of Deviator's slope, over a replayed batch."""

RECIPE = Recipe(
    "dac",
    DacTable,
    build,
    evaluate,
    settings=settings,
    figures=FIGURES,
    film=film,
    scaled=scaled,
    suite="antiphon.checks.suites.dac:SUITE",
)
