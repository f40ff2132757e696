"""Experiments with soft actor-critic: a random Actor, whose entropy is part of its objective."""

from collections.abc import Mapping
from functools import partial

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.random_policy import RandomPolicy
from antiphon.grammars.library.soft_actor_critic import soft_actor_critic
from antiphon.grammars.oracle import State
from antiphon.oracles import gaussian
from antiphon.recipes.common.control_table import ControlTable, options, parts
from antiphon.recipes.common.recipe import Evaluation, Recipe, deepened
from antiphon.recipes.common.tables import EvaluationTable, Positive
from antiphon.recipes.dac import FIGURES, evaluate as played, film as filmed


class SoftActorCriticTable(ControlTable):
    """Settings of an experiment with soft actor-critic: those of `ControlTable`, and the temperature.

    temperature: the weight of the entropy in the objective, in the units of scaled rewards.
    """

    temperature: Positive = 0.2


def build(table: SoftActorCriticTable) -> Grammar:
    """Make the grammar of soft actor-critic from the settings in `table`.

    Raises OracleError for an environment that cannot be used, ExperimentError for settings that contradict each other.
    """
    made = parts(table, RandomPolicy)
    noise = gaussian((made.action,), batch=table.envs, symbol="envs")
    draws = gaussian((made.action,), batch=table.batch)
    further = {"temperature": table.temperature, **options(table, made)}
    return soft_actor_critic(made.world, noise, draws, made.actor, made.critic, **further)


def evaluate(
    table: SoftActorCriticTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]
) -> Evaluation:
    """Compute the returns of episodes in which the trained Actor plays its median action, one episode per seed."""
    return played(table, evaluation, grammar, states, RandomPolicy.median)


def scaled(table: SoftActorCriticTable, layers: int) -> SoftActorCriticTable:
    """Return a copy of the settings in `table` in which each player's network has `layers` layers."""
    return deepened("soft_actor_critic", table, layers)


RECIPE = Recipe(
    "soft-actor-critic",
    SoftActorCriticTable,
    build,
    evaluate,
    figures={"Critic": FIGURES["Critic"]},
    film=partial(filmed, act=RandomPolicy.median),
    scaled=scaled,
    suite="antiphon.checks.suites.soft_actor_critic:SUITE",
)
