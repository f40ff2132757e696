"""Test the critic-derivative grammar on random networks, and on linear regulators with a known value function."""

import torch
from torch import Tensor

from antiphon.checks.suite import Case, Suite
from antiphon.checks.suites.regulators import (
    SIGMA,
    STATE,
    KnownValue,
    Modules,
    any_networks,
    nature_and_noise,
    regulator_cases,
    relative,
)
from antiphon.envs import Regulator
from antiphon.envs.riccati import action_value
from antiphon.grammars import Factory, Grammar, Port
from antiphon.grammars.library import critic_derivative
from antiphon.grammars.library.control import Smoothing
from antiphon.grammars.library.quadratic import LinearPolicy, QuadraticValue
from antiphon.oracles import gaussian

TAKEN = Port("Nature.replay", 1)


def networks(seed: int) -> Grammar:
    """Make a critic-derivative grammar of random networks, on a random linear regulator."""
    world, wind, actor, critic, _ = any_networks(seed)
    return critic_derivative(world, wind, actor, critic, gamma=0.8, soft=0.05)


def twins(seed: int) -> Grammar:
    """Make a grammar of random networks as `networks`, with two critics, a smoothed target, and a delayed Actor."""
    world, wind, actor, critic, _ = any_networks(seed)
    width = wind.questions[0].outputs[0].sized(dict(wind.sizes))[1]
    noise = gaussian((width,), batch=dict(world.sizes)["batch"], scale=SIGMA, dtype=torch.float64)
    smoothing = Smoothing(noise, SIGMA, (-1.0,) * width, (1.0,) * width)
    return critic_derivative(
        world, wind, actor, critic, gamma=0.8, soft=0.05, twin=True, smoothing=smoothing, delay=2, clone_every=2
    )


def regulated(system: Regulator, gain: Tensor, teacher: Factory, capacity: int) -> Grammar:
    """Make a critic-derivative grammar on a linear regulator, with a linear Actor.

    gain: Actor's initial matrix. teacher: the factory of Critic's module. capacity: size of the replay memory.
    """
    actor = Factory.of(LinearPolicy, gain)
    return critic_derivative(*nature_and_noise(system, capacity), actor, teacher, gamma=system.gamma, soft=0.1)


def from_truth(modules: Modules, values: dict[Port, Tensor], system: Regulator, gain: Tensor) -> Tensor:
    """Return the relative error of Critic's values at the states and actions of a round, 0-d.

    modules: the module of each player, by name. values: values of the round, by port. The error is relative to the true
    values of the policy with the matrix `gain`.
    """
    state, action = values[STATE], values[TAKEN]
    return relative(modules["Critic"](state, action).squeeze(1), action_value(system, gain, state, action))


SUITE = Suite(
    "critic-derivative",
    (
        Case("networks", networks, instances=10),
        Case("twins", twins, instances=10),
        *regulator_cases(regulated, "value", KnownValue, QuadraticValue, from_truth, "Critic"),
    ),
)
