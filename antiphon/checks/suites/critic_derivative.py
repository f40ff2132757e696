"""The critic-derivative response: what holds for any networks; and on regulators, where the value is known."""

from dataclasses import replace

import torch
from torch import Tensor

from antiphon.checks.suite import Case, Learning, Suite
from antiphon.checks.suites.regulators import (
    ENVS,
    KnownValue,
    Modules,
    any_networks,
    cost_of_policy,
    minus_value,
    relative,
    small_gain,
    small_system,
    world_and_wind,
)
from antiphon.envs.riccati import Regulator, action_value
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import Arrives, Estimated, Learned, PlayerLoss, Promise, promised
from antiphon.grammars.library.critic_derivative import critic_derivative
from antiphon.grammars.library.quadratic import LinearPolicy, QuadraticValue
from antiphon.grammars.query import Port

STATE, TAKEN, PLAYED = Port("Nature.replay"), Port("Nature.replay", 1), Port("Actor#2")


def networks(seed: int) -> Grammar:
    """Networks that know nothing of the regulator that they play."""
    world, wind, actor, critic, _ = any_networks(seed)
    return critic_derivative(world, wind, actor, critic, gamma=0.8, soft=0.05)


def known(seed: int) -> Grammar:
    """Critic knows the value, so its derivative is the value's."""
    system = small_system(seed)
    gain = small_gain(system)
    loss = PlayerLoss.of(minus_value, STATE, PLAYED, system=system, gain=gain)
    return _regulated(
        system, gain, Factory.of(KnownValue, system, gain), Estimated(("Actor",), loss, bias=1e-9, draws=20)
    )


def learned(seed: int) -> Grammar:
    """Critic knows nothing, and learns the value of an Actor who holds still."""
    system = small_system(seed)
    gain = small_gain(system)
    distance = Factory.of(from_truth, system=system, gain=gain)
    ignorant = Factory.of(QuadraticValue, *system.widths, torch.float64)
    return _regulated(system, gain, ignorant, Learned(("Critic",), distance, tolerance=0.3))


def moving(seed: int) -> Grammar:
    """Critic begins with the value of an idle Actor; from there on both learn, and Actor's gain becomes the best."""
    system = small_system(seed)
    gain = torch.zeros_like(small_gain(system))
    cost = PlayerLoss.of(cost_of_policy, STATE, PLAYED, system=system)
    # States begin elsewhere than where they are met in the long run, hence a bias in the first rounds.
    promises = Estimated(("Actor",), cost, bias=0.2, draws=200), Arrives(("Actor",), tolerance=0.1)
    return _regulated(system, gain, Factory.of(KnownValue, system, gain), *promises, capacity=10 * ENVS)


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
