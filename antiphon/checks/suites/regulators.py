"""Make test cases for actor-critic grammars: random networks, and linear regulators with a known solution."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import final

import torch
from torch import Tensor, nn

from antiphon.checks.suite import Case, Learning
from antiphon.envs import Regulator, regulator
from antiphon.envs.riccati import action_value, mean_cost, optimal_gain, slope_parts
from antiphon.grammars import (
    Arrives,
    Estimated,
    Factory,
    Grammar,
    Learned,
    OracleDeclaration,
    PlayerLoss,
    Port,
    promised,
)
from antiphon.grammars.library.quadratic import AffineSlope, QuadraticValue
from antiphon.oracles import gaussian

SIGMA = 0.5
STATE, PLAYED = Port("Nature.replay"), Port("Actor#2")
ENVS, BATCH = 64, 64

Players = tuple[OracleDeclaration, OracleDeclaration, Factory, Factory, Factory]
"""Declarations of Nature and Noise, and factories of Actor, Critic and Deviator."""


def small_system(seed: int, state: int = 2, action: int = 1) -> Regulator:
    """Make a random linear-quadratic regulator that is stable without control: a gain of zero has a finite cost."""
    generator = torch.Generator().manual_seed(seed)
    drift, control = (torch.randn(state, each, generator=generator, dtype=torch.float64) for each in (state, action))
    radius = torch.linalg.eigvals(drift).abs().max()
    control = control / control.norm()
    costs = torch.eye(state, dtype=torch.float64), 0.5 * torch.eye(action, dtype=torch.float64)
    return Regulator(0.9 * drift / radius.clamp(min=1e-3), control, *costs, process=0.2, gamma=0.8)


def small_gain(seed: int) -> tuple[Regulator, Tensor]:
    """Return a random linear-quadratic regulator, and 0.3 times its optimal gain (the matrix of a linear policy)."""
    system = small_system(seed)
    return system, 0.3 * optimal_gain(system)


def any_networks(seed: int) -> Players:
    """Make the parts of an actor-critic grammar with random widths.

    Returns the declarations of Nature (a linear regulator) and Noise, and the factories of tanh networks for Actor,
    Critic and Deviator.
    """
    choose = random.Random(seed)
    state, action = choose.randint(1, 4), choose.randint(1, 3)
    world = regulator(small_system(seed, state, action), envs=3, batch=choose.randint(2, 12), capacity=60)
    widths = [choose.randint(2, 6) for _ in range(3)]
    return (
        world,
        gaussian((action,), batch=3, symbol="envs", scale=SIGMA, dtype=torch.float64),
        Factory.of(TanhNetwork, state, widths[0], action),
        Factory.of(TanhNetwork, state + action, widths[1], 1),
        Factory.of(TanhNetwork, state + action, widths[2], action),
    )


def regulator_cases(
    make: Callable[[Regulator, Tensor, Factory, int], Grammar],
    what: str,
    knowing: type[nn.Module],
    ignorant: type[nn.Module],
    distance: Callable[..., Tensor],
    *learners: str,
) -> tuple[Case, ...]:
    """Return three test cases for an actor-critic grammar on linear regulators, whose true value function is known.

    The teacher is the player from whose output Actor's response is computed: Critic or Deviator. In the first case the
    teacher knows its true function. In the second case the learners learn while Actor stays fixed. In the third case
    all players learn.

    make: makes a grammar from the regulator, Actor's initial gain, the teacher's module and the replay capacity.
    what: the name of the teacher's function ("value" or "slope"), for the names of the cases.
    knowing, ignorant: modules for the teacher; `knowing` begins with the true function, `ignorant` at zero.
    distance: returns the distance of the learners from their true functions. Its arguments are the modules, the values
    of a round, `system` and `gain`.
    learners: names of the players that learn in the second case.
    """

    def known(seed: int) -> Grammar:
        """Make a grammar whose teacher begins with its true function, so that Actor receives the true gradient."""
        system, gain = small_gain(seed)
        made = make(system, gain, Factory.of(knowing, system, gain), 1000 * ENVS)
        return replace(made, guarantee=promised(unbiased(system, gain)))

    def still(seed: int) -> Grammar:
        """Make a grammar whose teacher begins at zero. The learners learn their functions while Actor stays fixed."""
        system, gain = small_gain(seed)
        made = make(system, gain, Factory.of(ignorant, *system.widths, torch.float64), 1000 * ENVS)
        away = Factory.of(distance, system=system, gain=gain)
        return replace(made, guarantee=promised(Learned(learners, away, tolerance=0.3)))

    def moving(seed: int) -> Grammar:
        """Make a grammar in which all players learn, and Actor reaches the optimal gain.

        Actor begins with a gain of zero, and the teacher with its true function for that gain. Only Actor is promised
        to come to rest: the other players learn from random examples, whose noise does not end.
        """
        system, some = small_gain(seed)
        gain = torch.zeros_like(some)
        made = make(system, gain, Factory.of(knowing, system, gain), 10 * ENVS)
        return replace(made, guarantee=promised(*improving(system)))

    return (
        Case(f"regulator, {what} known", known, instances=10),
        Case("regulator, Actor still", still, instances=2, learning=Learning(1000)),
        Case("regulator", moving, instances=2, learning=Learning(1000)),
    )


def nature_and_noise(system: Regulator, capacity: int) -> tuple[OracleDeclaration, OracleDeclaration]:
    """Return the declarations of two oracles: Nature, which simulates a regulator, and Noise, added to the actions.

    capacity: size of Nature's replay memory.
    """
    _, action = system.widths
    noise = gaussian((action,), batch=ENVS, symbol="envs", scale=SIGMA, dtype=torch.float64)
    return regulator(system, envs=ENVS, batch=BATCH, capacity=capacity), noise


def minus_value(state: Tensor, action: Tensor, system: Regulator, gain: Tensor) -> Tensor:
    """Return the loss of Actor, 0-d: minus the mean value of the given states and actions.

    The value is the true one for the linear policy K s that acts after the given action. gain: K.
    """
    return -action_value(system, gain, state, action).mean()


def unbiased(system: Regulator, gain: Tensor) -> Estimated:
    """Return the promise that Actor's mean response is the gradient of its loss, minus the value of its actions.

    The premise is that Critic computes the true value, or Deviator the true gradient of the value. gain: the matrix of
    the policy whose values are meant.
    """
    loss = PlayerLoss.of(minus_value, STATE, PLAYED, system=system, gain=gain)
    return Estimated(("Actor",), loss, bias=1e-9, draws=20, premise="the value is known")


def improving(system: Regulator) -> tuple[Estimated, Arrives]:
    """Return two promises: Actor's mean response is about the gradient of the mean cost, and Actor comes to rest."""
    cost = PlayerLoss.of(cost_of_policy, STATE, PLAYED, system=system)
    # The first states are not distributed as in the long run, hence a bias in the first rounds.
    told = Estimated(("Actor",), cost, bias=0.2, draws=200, premise="the value is known")
    return told, Arrives(("Actor",), tolerance=0.1)


def cost_of_policy(state: Tensor, action: Tensor, system: Regulator) -> Tensor:
    """Return the mean cost, in the long run, of the linear policy that maps the given states to the given actions."""
    gain = torch.linalg.lstsq(state, action).solution.T
    return mean_cost(system, gain, SIGMA)


def relative(found: Tensor, truth: Tensor) -> Tensor:
    """Return the relative error |found - truth| / |truth - mean of truth|, 0-d. found, truth: (batch, ...)."""
    return (found - truth).norm() / (truth - truth.mean(0)).norm()


Modules = Mapping[str, nn.Module]


@final
class TanhNetwork(nn.Module):
    """A small tanh network on the concatenation of its inputs, float64: (batch, width) each -> (batch, outputs)."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        first, last = (nn.Linear(*each, dtype=torch.float64) for each in ((inputs, width), (width, outputs)))
        self.network = nn.Sequential(first, nn.Tanh(), last)

    def forward(self, *shown: Tensor) -> Tensor:
        """Return the network's output, (batch, outputs). shown: one or more inputs, (batch, width) each."""
        return self.network(torch.cat(shown, dim=-1))


@final
class KnownSlope(AffineSlope):
    """A module for Deviator that begins with the true gradient of the action value with respect to the action.

    The action value is that of the linear policy K s on the regulator `system`. gain: K.
    """

    def __init__(self, system: Regulator, gain: Tensor) -> None:
        super().__init__(*system.widths, dtype=torch.float64)
        with torch.no_grad():
            self.weights.weight.copy_(torch.cat(slope_parts(system, gain), 1))


@final
class KnownValue(QuadraticValue):
    """A module for Critic that begins with the true action value of the linear policy K s on a regulator.

    The policy acts without noise. gain: K.
    """

    def __init__(self, system: Regulator, gain: Tensor) -> None:
        super().__init__(*system.widths, dtype=torch.float64)
        generator = torch.Generator().manual_seed(0)
        count = 2 * self.weights.in_features
        state, action = (torch.randn(count, each, generator=generator, dtype=torch.float64) for each in system.widths)
        both = torch.cat([state, action], 1)
        design = torch.cat([both[:, self.rows] * both[:, self.columns], torch.ones(count, 1).double()], 1)
        truth = action_value(system, gain, state, action)
        found = torch.linalg.lstsq(design, truth.unsqueeze(1)).solution.squeeze(1)
        with torch.no_grad():
            self.weights.weight.copy_(found[:-1].unsqueeze(0))
            self.weights.bias.copy_(found[-1:])
