"""What experiments with control grammars share: settings, the parts of the grammar, and the policy to evaluate."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from pydantic import Field
from torch import Tensor, nn

from antiphon.envs import nature
from antiphon.envs.environment import Spaces, read_spaces, registered
from antiphon.envs.gymnasium import SCALES
from antiphon.envs.normalisation import ObservationScale
from antiphon.envs.replay_options import ReplayOptions, Storage
from antiphon.errors import ExperimentError
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.encoder import Encoder
from antiphon.grammars.library.networks import Policy, StateAction
from antiphon.grammars.oracle import OracleDeclaration, State
from antiphon.oracles import Annealing
from antiphon.plugins import ENVIRONMENTS, find, installed
from antiphon.recipes.common.recipe import trained
from antiphon.recipes.common.tables import Arguments, Count, Fraction, Index, Positive, Seconds, Share, Table


class ControlTable(Table):
    """Settings of an experiment with a control grammar.

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
    deadline: seconds that a step may take with vectorization "async".
    overlap: whether an environment step runs during the rest of the round, and ends at the next observation.
    stagger: the first episode of copy i is cut after stagger * i // envs steps, so that the copies do not end their
    episodes together. Choose the length of an episode; 0 cuts none.
    normalize_*, n_step, storage, priority_alpha: see `ReplayOptions`. The exponent of the importance weights is
    priority_beta at first, and changes linearly to 1 within priority_rounds rounds; 0 rounds keep it.
    channels: output channels of the convolutions of Encoder, a player that turns pictures into `features` numbers; an
    empty list for no Encoder.
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
    vectorization: Literal["sync", "async"] = "sync"
    deadline: Seconds = 60.0
    overlap: bool = False
    stagger: Index = 0
    normalize_observations: bool = False
    normalize_rewards: bool = False
    n_step: Count = 1
    storage: Storage = "float32"
    priority_alpha: Fraction = 0.0
    priority_beta: Share = 0.4
    priority_rounds: Index = 0
    channels: list[Count] = Field(default=[])
    features: Count = 50


class Parts(NamedTuple):
    """The parts of a control grammar.

    world: the declaration of Nature. actor, critic, encoder: factories; encoder is None for no Encoder. state, action:
    widths of what Actor sees, and of its actions. spaces: those of the environment.
    """

    world: OracleDeclaration
    actor: Factory
    critic: Factory
    encoder: Factory | None
    state: int
    action: int
    spaces: Spaces


def parts(table: ControlTable, policy: type[nn.Module] = Policy) -> Parts:
    """Make the parts of a control grammar from the settings in `table`. policy: the class of Actor's module."""
    refuse_contradictions(table)
    environment = environment_of(table.environment)
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
        options=replay_options(table),
    )
    action, widths = spaces.action, tuple(table.widths)
    encoder, state = _encoder(table, spaces)
    actor = Factory.of(policy, state, action, widths, **_head(spaces))
    critic = Factory.of(StateAction, state, action, 1, widths)
    return Parts(world, actor, critic, encoder, state, action, spaces)


def replay_options(table: ControlTable) -> ReplayOptions:
    """Return how Nature remembers and scales, from the settings in `table`."""
    beta: float | Annealing = table.priority_beta
    if table.priority_rounds:
        beta = Annealing(table.priority_beta, 1.0, table.priority_rounds)
    return ReplayOptions(
        table.normalize_observations,
        table.normalize_rewards,
        table.gamma,
        table.n_step,
        table.storage,
        table.priority_alpha,
        beta,
    )


def _encoder(table: ControlTable, spaces: Spaces) -> tuple[Factory | None, int]:
    """Return the factory of Encoder (None for no Encoder), and the width of what Actor sees."""
    if not table.channels:
        return None, spaces.observation
    if not spaces.picture:
        raise ExperimentError(
            f"key 'channels' asks for an Encoder, and {table.environment!r} observes no picture; expected a part of "
            "its observations with two or three dimensions. Remove the key."
        )
    largest = 1.0 if table.normalize_observations else 255.0
    encoder = Factory.of(Encoder, spaces.parts, tuple(table.channels), table.features, largest)
    return encoder, sum(table.features if len(part) > 1 else math.prod(part) for part in spaces.parts)


def refuse_contradictions(table: ControlTable) -> None:
    """Raise ExperimentError for a key that has no effect because of another one."""
    defaults = type(table)()
    for key, other, needs in DEPENDENT:
        if getattr(table, key, None) != getattr(defaults, key, None) and not needs(table):
            raise ExperimentError(
                f"key {key!r} was set to {getattr(table, key)!r} and has no effect; expected {other} with it. "
                f"Set that too, or remove {key!r}."
            )


DEPENDENT: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("theta", 'noise = "ornstein-uhlenbeck"', lambda table: table.noise == "ornstein-uhlenbeck"),
    ("priority_beta", "'priority_alpha' above 0", lambda table: table.priority_alpha > 0),
    ("priority_rounds", "'priority_alpha' above 0", lambda table: table.priority_alpha > 0),
    ("features", "'channels' with at least one number", lambda table: bool(table.channels)),
    ("smoothing_clip", "'smoothing' above 0", lambda table: table.smoothing > 0),
)
"""Keys that have an effect only together with another one: the key, what it needs, and whether that is given."""


def options(table: ControlTable, made: Parts) -> dict[str, Any]:
    """Return the settings that the functions `dac` and `critic_derivative` take as keyword arguments."""
    return {
        "gamma": table.gamma,
        "soft": table.soft or None,
        "clone_every": table.clone_every,
        "act_every": table.act_every or table.envs,
        "learn_from": table.learn_from,
        "encoder": made.encoder,
    }


def policy_of(
    table: ControlTable, grammar: Grammar, states: Mapping[str, State], act: Callable[[Any, Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    """Return the trained Actor as a function of unscaled observations, by way of Nature's scale and Encoder.

    states: the saved states, by name. act: a function of Actor's module and of what it sees, which returns the action.
    """
    scale = observation_scale(states) if table.normalize_observations else None
    encoder = trained(grammar, "Encoder", states) if table.channels else None
    actor = trained(grammar, "Actor", states)

    def policy(observed: Tensor) -> Tensor:
        shown = observed if scale is None else scale(observed)
        return act(actor, shown if encoder is None else encoder(shown))

    return policy


def observation_scale(states: Mapping[str, State]) -> ObservationScale:
    """Return the scale of observations with the statistics of Nature's saved state.

    states: the saved states, by name. Raises ExperimentError if they lack Nature's statistics.
    """
    scales = states.get("Nature", {}).get(SCALES, {})
    if "observations" not in scales:
        raise ExperimentError(
            "the evaluation was given no statistics of observations; expected those of Nature, in its state, because "
            "`normalize_observations` is set. Pass the states of the whole checkpoint."
        )
    return ObservationScale.of(scales["observations"])


def environment_of(name: str) -> str | Callable[..., Any]:
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
