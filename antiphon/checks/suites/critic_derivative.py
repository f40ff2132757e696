"""Test the critic-derivative grammar on random networks, and on linear regulators with a known value function."""

from torch import Tensor

from antiphon.checks.suite import Case, Suite
from antiphon.checks.suites.regulators import (
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
from antiphon.grammars.library.quadratic import LinearPolicy, QuadraticValue

TAKEN = Port("Nature.replay", 1)


def networks(seed: int) -> Grammar:
    """Make a critic-derivative grammar of random networks, on a random linear regulator."""
    world, wind, actor, critic, _ = any_networks(seed)
    return critic_derivative(world, wind, actor, critic, gamma=0.8, soft=0.05)


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
        *regulator_cases(regulated, "value", KnownValue, QuadraticValue, from_truth, "Critic"),
    ),
)
