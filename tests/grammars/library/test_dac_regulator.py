"""DAC with bootstrapping, on a regulator: value, slope, Actor's gradient and best gain are those of the closed form."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from antiphon.agents.specification import AgentSpecification
from antiphon.checks.suites.regulators import SIGMA, relative
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.steps import Slot
from antiphon.coordinator.recorder import RECORDER
from antiphon.envs.regulator import regulator
from antiphon.envs.riccati import (
    Regulator,
    mean_cost,
    occupancy,
    optimal_gain,
    policy_gradient,
    policy_value,
    slope_matrix,
)
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.factory import Factory
from antiphon.grammars.library import dac
from antiphon.grammars.library.quadratic import AffineSlope, LinearPolicy, QuadraticValue
from antiphon.grammars.query import Port
from antiphon.grammars.response import PARAMETERS
from antiphon.oracles import gaussian
from antiphon.recipes.common.recipe import trained
from antiphon.transport.message import Phase

pytestmark = pytest.mark.slow

DRIFT = torch.tensor([[0.9, 0.3], [-0.1, 0.8]], dtype=torch.float64)
CONTROL = torch.tensor([[0.2], [0.6]], dtype=torch.float64)
EYE = torch.eye(2, dtype=torch.float64)
SYSTEM = Regulator(DRIFT, CONTROL, EYE, 0.5 * EYE[:1, :1], process=0.1, gamma=0.9)
TOLD = Slot(Phase.RESPONSE, Port("Actor#2 *", PARAMETERS))


def play(gain: Tensor, actor: AgentSpecification, rounds: int, capacity: int):
    """The players at last, and the mean of what Actor was told in the last 200 rounds."""
    grammar = dac(
        regulator(SYSTEM, envs=128, batch=256, capacity=capacity),
        gaussian((1,), batch=128, symbol="envs", scale=SIGMA, dtype=torch.float64),
        Factory.of(LinearPolicy, gain),
        Factory.of(QuadraticValue, 2, 1, torch.float64),
        Factory.of(AffineSlope, 2, 1, torch.float64),
        gamma=SYSTEM.gamma,
        soft=0.05,
    )
    told = []

    def watch(round: int, held: Mapping[Slot, Tensor]) -> None:
        if round >= rounds - 200:
            told.append(held[TOLD].reshape(1, 2).clone())

    agents = {"Actor": actor, "Critic": falling(0.05, rounds), "Deviator": falling(0.05, rounds)}
    with InlineExecutor(assign(grammar, agents, seed=1), watch=watch) as executor:
        executor.play(rounds)
        players = {name: trained(grammar, name, executor.states()) for name in agents}
    return players, torch.stack(told).mean(0)


def falling(rate: float, rounds: int, start: int = 0) -> AgentSpecification:
    schedule = {"scheduler": "PolynomialLR", "scheduler_arguments": {"total_iters": rounds - start, "power": 1.0}}
    return AgentSpecification.of("Adam", {"lr": rate}, **schedule, cadence=Cadence(1, start))


def test_critic_deviator_and_actors_gradient_match_the_closed_form():
    gain = torch.tensor([[-0.2, -0.3]], dtype=torch.float64)
    players, told = play(gain, RECORDER, rounds=1500, capacity=200_000)
    root = torch.linalg.cholesky(occupancy(SYSTEM, gain, SIGMA))
    states = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) @ root.T
    actions = states @ gain.T
    with torch.no_grad():
        value, slope = players["Critic"](states, actions).squeeze(1), players["Deviator"](states, actions)
    # Some 200 000 transitions, each of which tells the slope up to about ten times its size: that leaves an error of
    # about 10 / 200 000^(1/2), and twice as much is granted for the steps' own.
    assert relative(value, policy_value(SYSTEM, gain, states, SIGMA)) < 0.05
    assert relative(slope, states @ slope_matrix(SYSTEM, gain).T) < 0.05
    truth = policy_gradient(SYSTEM, gain, SIGMA)
    assert (told - truth).norm() < 0.05 * truth.norm()


def test_actor_approaches_the_best_gain():
    rounds, idle = 2000, torch.zeros(1, 2, dtype=torch.float64)
    players, _ = play(idle, falling(0.004, rounds, start=200), rounds, capacity=1280)
    gain, best = players["Actor"].get_parameter("weight").detach(), optimal_gain(SYSTEM)
    above = mean_cost(SYSTEM, gain) - mean_cost(SYSTEM, best)
    assert above < 0.01 * (mean_cost(SYSTEM, idle) - mean_cost(SYSTEM, best))
    assert (gain - best).norm() < 0.1 * best.norm()
