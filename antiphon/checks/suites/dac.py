"""Test the Deviator-Actor-Critic grammar on random networks, and on linear regulators with a known value function.

In this file, the slope is the gradient of the value of a state and an action with respect to the action.
"""

import torch
from torch import Tensor

from antiphon.checks.suite import Case, Suite
from antiphon.checks.suites.regulators import (
    PLAYED,
    SIGMA,
    STATE,
    KnownSlope,
    Modules,
    any_networks,
    nature_and_noise,
    regulator_cases,
    relative,
)
from antiphon.envs import Regulator
from antiphon.envs.riccati import policy_value, slope_matrix
from antiphon.grammars import Factory, Grammar, Port
from antiphon.grammars.library import dac
from antiphon.grammars.library.quadratic import AffineSlope, LinearPolicy, QuadraticValue


def networks(seed: int) -> Grammar:
    """Make a Deviator-Actor-Critic grammar of random networks, on a random linear regulator."""
    return dac(*any_networks(seed), gamma=0.8, soft=0.05)


def regulated(system: Regulator, gain: Tensor, teacher: Factory, capacity: int) -> Grammar:
    """Make a Deviator-Actor-Critic grammar on a linear-quadratic regulator, with a linear Actor.

    gain: Actor's initial matrix. teacher: the factory of Deviator's module. capacity: size of the replay memory.
    """
    actor, critic = Factory.of(LinearPolicy, gain), Factory.of(QuadraticValue, *system.widths, torch.float64)
    return dac(*nature_and_noise(system, capacity), actor, critic, teacher, gamma=system.gamma, soft=0.1)


def from_truth(modules: Modules, values: dict[Port, Tensor], system: Regulator, gain: Tensor) -> Tensor:
    """Return the larger of two relative errors at the states of a round, 0-d: of Critic's values, of Deviator's slopes.

    modules: the module of each player, by name. values: values of the round, by port. The errors are relative to the
    true values and slopes (gradients of the value with respect to the action) of the policy with the matrix `gain`.
    """
    state, played = values[STATE], values[PLAYED]
    value, slope = modules["Critic"](state, played).squeeze(1), modules["Deviator"](state, played)
    worth = relative(value, policy_value(system, gain, state, SIGMA))
    return torch.maximum(worth, relative(slope, state @ slope_matrix(system, gain).T))


SUITE = Suite(
    "dac",
    (
        Case("networks", networks, instances=10),
        *regulator_cases(regulated, "slope", KnownSlope, AffineSlope, from_truth, "Critic", "Deviator"),
    ),
)
