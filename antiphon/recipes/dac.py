"""Experiments with Deviator-Actor-Critic: continuous control in a Gymnasium environment."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from antiphon.envs import nature
from antiphon.envs.environment import Spaces, read_spaces, registered
from antiphon.envs.returns import played_episodes
from antiphon.envs.video import film_episode
from antiphon.errors import ExperimentError
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.dac import dac
from antiphon.grammars.library.networks import Policy, StateAction
from antiphon.grammars.oracle import OracleDeclaration, State
from antiphon.oracles import Annealing, gaussian
from antiphon.plugins import ENVIRONMENTS, find, installed
from antiphon.recipes.common.recipe import Evaluation, Quantity, Recipe, deepened, trained
from antiphon.recipes.common.tables import Arguments, Count, EvaluationTable, Fraction, Index, Positive, Seconds, Table


class DacTable(Table):
    """Settings of an experiment with an actor and a critic.

    environment, keywords: as for `gymnasium.make`; also "module:Class", or the name of an installed environment.
    envs: number of copies of the environment.
    act_every: all copies take one step every `act_every` rounds. 0 means `envs`: then there are as many rounds as steps
    of single copies.
    batch, capacity: sizes of a replayed batch and of the replay memory.
    warmup: number of first environment steps, over all copies, in which random actions replace those of Actor.
    learn_from: the round in which learning starts.
    clone_every, soft: every `clone_every` rounds, clones move toward their players by the fraction `soft`; 0 copies the
    players.
    widths: hidden widths of every player's network.
    sigma_*: the standard deviation of the noise. It is sigma_start for sigma_hold rounds, and then changes linearly to
    sigma_end within sigma_rounds rounds.
    deadline: seconds that a step may take with vectorization "async".
    overlap: whether an environment step runs during the rest of the round, and ends at the next observation.
    stagger: the first episode of copy i is cut after stagger * i // envs steps, so that the copies do not end their
    episodes together. Choose the length of an episode; 0 cuts none.
    """

    environment: str = "Pendulum-v1"
    keywords: Arguments = Field(default={})
    envs: Count = 8
    batch: Count = 256
    capacity: Count = 100_000
    warmup: Index = 1000
    learn_from: Index = 1000
    reward_scale: Positive = 8.0
    gamma: Fraction = 0.98
    soft: Fraction = 0.005
    clone_every: Count = 1
    act_every: Index = 0
    widths: list[Count] = Field(default=[256, 256])
    sigma_start: Positive = 0.4
    sigma_end: Positive = 0.1
    sigma_rounds: Count = 14_000
    sigma_hold: Index = 0
    vectorization: Literal["sync", "async"] = "sync"
    deadline: Seconds = 60.0
    overlap: bool = False
    stagger: Index = 0

    @property
    def sigma(self) -> Annealing:
        """The standard deviation of the noise as a function of the round, in the units of Actor's output."""
        return Annealing(self.sigma_start, self.sigma_end, self.sigma_rounds, self.sigma_hold)


def build(table: DacTable) -> Grammar:
    """Make the Deviator-Actor-Critic grammar from the settings in `table`.

    Raises OracleError for an environment that cannot be used.
    """
    world, wind, actor, critic, deviator = parts(table)
    return dac(world, wind, actor, critic, deviator, **options(table))


def parts(table: DacTable) -> tuple[OracleDeclaration, OracleDeclaration, Factory, Factory, Factory]:
    """Make the parts of an actor-critic grammar from the settings in `table`.

    Returns the declarations of Nature (the environment) and Noise, and the factories of Actor, Critic and Deviator.
    """
    environment = _environment(table.environment)
    spaces = read_spaces(environment, table.keywords)
    world = nature(
        environment,
        envs=table.envs,
        batch=table.batch,
        capacity=table.capacity,
        warmup=table.warmup,
        reward_scale=table.reward_scale,
        keywords=table.keywords,
        vectorization=table.vectorization,
        deadline=table.deadline,
        overlap=table.overlap,
        stagger=table.stagger,
    )
    state, action, widths = spaces.observation, spaces.action, tuple(table.widths)
    return (
        world,
        gaussian((action,), batch=table.envs, symbol="envs", scale=table.sigma),
        Factory.of(Policy, state, action, widths, **_head(spaces)),
        Factory.of(StateAction, state, action, 1, widths),
        Factory.of(StateAction, state, action, action, widths),
    )


def options(table: DacTable) -> dict[str, Any]:
    """Return the settings that the functions `dac` and `critic_derivative` take as keyword arguments."""
    return {
        "gamma": table.gamma,
        "soft": table.soft or None,
        "clone_every": table.clone_every,
        "act_every": table.act_every or table.envs,
        "learn_from": table.learn_from,
    }


def evaluate(table: DacTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]) -> Evaluation:
    """Compute the returns of episodes in which the trained Actor acts without noise, one episode per seed.

    states: the saved state of each player, by name.
    """
    seeds = range(evaluation.first_seed, evaluation.first_seed + evaluation.episodes)
    actor = trained(grammar, "Actor", states)
    returns, cut = played_episodes(
        _environment(table.environment),
        actor,
        seeds,
        keywords=table.keywords,
        max_steps=evaluation.max_steps,
    )
    return Evaluation("return", "episodes", tuple(returns), cut=cut)


def film(
    table: DacTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State], file: Path
) -> None:
    """Write a video of the first episode of an evaluation. states: the saved state of each player, by name.

    Raises OracleError for an environment that renders no pictures, before it plays.
    """
    actor, seed = trained(grammar, "Actor", states), evaluation.first_seed
    environment = _environment(table.environment)
    film_episode(environment, actor, seed, file, keywords=table.keywords, max_steps=evaluation.max_steps)


def settings(table: DacTable, round: int) -> Mapping[str, float]:
    """Return the standard deviation of the noise in the given round, for the metrics of a run."""
    return {"sigma": table.sigma.at(round)}


def scaled(table: DacTable, layers: int) -> DacTable:
    """Return a copy of the settings in `table` in which each player's network has `layers` layers.

    All hidden layers get the width of the first one.
    """
    return deepened("dac", table, layers)


def _environment(name: str) -> str | Callable[..., Any]:
    """Return the class or function that makes an environment, if `name` is "module:Class" or that of a plugin.

    For all other names, and for names that Gymnasium has registered, return the name itself.
    """
    if registered(name) or (":" not in name and name not in installed(ENVIRONMENTS)):
        return name
    try:
        return find("environment", name, ENVIRONMENTS)
    except ExperimentError:
        if ":" in name:
            return name  # "module:id": Gymnasium imports the module, which registers the id
        raise


def _head(spaces: Spaces) -> dict[str, tuple[float, ...]]:
    """Return the bounds of Actor's output as keyword arguments of its module.

    The result is empty if all actions range from -1 to 1, which are the bounds of the module's tanh.
    """
    if set(spaces.low) == {-1.0} and set(spaces.high) == {1.0}:
        return {}
    return {"low": spaces.low, "high": spaces.high}


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
