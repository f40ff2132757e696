"""The critic-derivative response: checks on arbitrary networks, and on regulators with a known value."""

from dataclasses import replace

import torch
from torch import Tensor

from antiphon.checks.suite import Case, Learning, Suite
from antiphon.checks.suites.regulators import (
    ENVS,
    STATE,
    KnownValue,
    Modules,
    any_networks,
    improving,
    relative,
    small_gain,
    small_system,
    truthful,
    world_and_wind,
)
from antiphon.envs.riccati import Regulator, action_value
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import Learned, Promise, promised
from antiphon.grammars.library.critic_derivative import critic_derivative
from antiphon.grammars.library.quadratic import LinearPolicy, QuadraticValue
from antiphon.grammars.query import Port

TAKEN = Port("Nature.replay", 1)


def networks(seed: int) -> Grammar:
    """Random networks on a regulator."""
    world, wind, actor, critic, _ = any_networks(seed)
    return critic_derivative(world, wind, actor, critic, gamma=0.8, soft=0.05)


def known(seed: int) -> Grammar:
    """Critic begins with the true value, so its derivative is the derivative of the value."""
    system = small_system(seed)
    gain = small_gain(system)
    return _regulated(system, gain, Factory.of(KnownValue, system, gain), truthful(system, gain))


def learned(seed: int) -> Grammar:
    """Critic begins without knowledge, and learns the value while Actor stays fixed."""
    system = small_system(seed)
    gain = small_gain(system)
    distance = Factory.of(from_truth, system=system, gain=gain)
    ignorant = Factory.of(QuadraticValue, *system.widths, torch.float64)
    return _regulated(system, gain, ignorant, Learned(("Critic",), distance, tolerance=0.3))


def moving(seed: int) -> Grammar:
    """Critic begins with the value of the zero policy. Then both learn, and Actor reaches the optimal gain."""
    system = small_system(seed)
    gain = torch.zeros_like(small_gain(system))
    made = Factory.of(KnownValue, system, gain)
    return _regulated(system, gain, made, *improving(system), capacity=10 * ENVS)


def from_truth(modules: Modules, values: dict[Port, Tensor], system: Regulator, gain: Tensor) -> Tensor:
    """Critic's relative error at the actions that were taken, 0-d."""
    state, action = values[STATE], values[TAKEN]
    return relative(modules["Critic"](state, action).squeeze(1), action_value(system, gain, state, action))


def _regulated(
    system: Regulator, gain: Tensor, critic: Factory, *promises: Promise, capacity: int = 1000 * ENVS
) -> Grammar:
    world, wind = world_and_wind(system, capacity)
    made = critic_derivative(world, wind, Factory.of(LinearPolicy, gain), critic, gamma=system.gamma, soft=0.1)
    return replace(made, guarantee=promised(*promises))


SUITE = Suite(
    "critic-derivative",
    (
        Case("networks", networks, instances=10),
        Case("regulator, value known", known, instances=10),
        Case("regulator, Actor still", learned, instances=2, learning=Learning(1000)),
        Case("regulator", moving, instances=2, learning=Learning(1000)),
    ),
)
