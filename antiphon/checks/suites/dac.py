"""Deviator-Actor-Critic: checks on arbitrary networks, and on regulators with known value and slope."""

from dataclasses import replace

import torch
from torch import Tensor

from antiphon.checks.suite import Case, Learning, Suite
from antiphon.checks.suites.regulators import (
    ENVS,
    PLAYED,
    SIGMA,
    STATE,
    KnownSlope,
    Modules,
    any_networks,
    improving,
    relative,
    small_gain,
    small_system,
    truthful,
    world_and_wind,
)
from antiphon.envs.riccati import Regulator, policy_value, slope_matrix
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import Learned, Promise, promised
from antiphon.grammars.library.dac import dac
from antiphon.grammars.library.quadratic import AffineSlope, LinearPolicy, QuadraticValue
from antiphon.grammars.query import Port


def networks(seed: int) -> Grammar:
    """Random networks on a regulator."""
    return dac(*any_networks(seed), gamma=0.8, soft=0.05)


def known(seed: int) -> Grammar:
    """Deviator begins with the true slope, so Actor receives the gradient of the value."""
    system = small_system(seed)
    gain = small_gain(system)
    return _regulated(system, gain, Factory.of(KnownSlope, system, gain), truthful(system, gain))


def learned(seed: int) -> Grammar:
    """Critic and Deviator begin without knowledge, and learn value and slope while Actor stays fixed."""
    system = small_system(seed)
    gain = small_gain(system)
    distance = Factory.of(from_truth, system=system, gain=gain)
    ignorant = Factory.of(AffineSlope, *system.widths, torch.float64)
    return _regulated(system, gain, ignorant, Learned(("Critic", "Deviator"), distance, tolerance=0.3))


def moving(seed: int) -> Grammar:
    """Deviator begins with the slope of the zero policy. Then all learn, and Actor reaches the optimal gain.

    No rest is promised for Critic and Deviator: their error is measured on draws that continue.
    """
    system = small_system(seed)
    gain = torch.zeros_like(small_gain(system))
    made = Factory.of(KnownSlope, system, gain)
    return _regulated(system, gain, made, *improving(system), capacity=10 * ENVS)


def from_truth(modules: Modules, values: dict[Port, Tensor], system: Regulator, gain: Tensor) -> Tensor:
    """The larger of the relative errors of Critic and Deviator on the states of the round, 0-d."""
    state, played = values[STATE], values[PLAYED]
    value, slope = modules["Critic"](state, played).squeeze(1), modules["Deviator"](state, played)
    worth = relative(value, policy_value(system, gain, state, SIGMA))
    return torch.maximum(worth, relative(slope, state @ slope_matrix(system, gain).T))


def _regulated(
    system: Regulator, gain: Tensor, deviator: Factory, *promises: Promise, capacity: int = 1000 * ENVS
) -> Grammar:
    actor, critic = Factory.of(LinearPolicy, gain), Factory.of(QuadraticValue, *system.widths, torch.float64)
    made = dac(*world_and_wind(system, capacity), actor, critic, deviator, gamma=system.gamma, soft=0.1)
    return replace(made, guarantee=promised(*promises))


SUITE = Suite(
    "dac",
    (
        Case("networks", networks, instances=10),
        Case("regulator, slope known", known, instances=10),
        Case("regulator, Actor still", learned, instances=2, learning=Learning(1000)),
        Case("regulator", moving, instances=2, learning=Learning(1000)),
    ),
)
