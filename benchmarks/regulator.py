"""Deviator-Actor-Critic on a linear-quadratic regulator, compared with the closed form: value, slope, gradient, gain.

    python -m benchmarks.regulator [--seed 0] [--rounds 3000]

It plays twice: first with a constant Actor, then with an Actor that learns. It writes regulator.png next to RESULTS.md.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from antiphon.agents.specification import AgentSpecification
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
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.dac import dac
from antiphon.grammars.library.quadratic import AffineSlope, LinearPolicy, QuadraticValue
from antiphon.oracles import gaussian
from antiphon.recipes.common.recipe import trained
from antiphon.transport.message import Phase
from benchmarks.regulator_picture import Curves, Learned, draw
from benchmarks.report import machine, table, write_section

PICTURE = Path(__file__).with_name("regulator.png")


def _matrix(*rows: Sequence[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


SYSTEM = Regulator(
    drift=_matrix([0.95, 0.2, 0.0], [0.0, 0.85, 0.2], [0.1, 0.0, 0.7]),
    control=_matrix([0.0, 0.1], [0.5, 0.0], [0.0, 0.5]),
    state_cost=torch.eye(3, dtype=torch.float64),
    action_cost=0.5 * torch.eye(2, dtype=torch.float64),
    process=0.1,
    gamma=0.9,
)
HALFWAY = _matrix([-0.2, -0.3, 0.1], [0.1, 0.0, -0.3])
"""The gain of the constant Actor: neither zero nor the optimum."""

SIGMA, ENVS, BATCH = 0.5, 256, 512


@dataclass
class Witness:
    """Collects the gradients that Actor received in the last `window` rounds.

    Their mean estimates the true gradient.
    """

    grammar: Grammar
    window: int
    told: list[Tensor] = field(default_factory=list)

    def watch(self, _: int, held: Mapping[Slot, Tensor]) -> None:
        """Store the gradient that Actor receives in this round, if there is one. held: all values of the round."""
        (port,) = (each.message for each in self.grammar.response.deliveries if each.player == "Actor")
        slot = Slot(Phase.RESPONSE, port)
        if slot in held:
            self.told = [*self.told, held[slot].reshape(2, 3).clone()][-self.window :]

    @property
    def mean(self) -> Tensor:
        """The mean of the stored gradients, (action, state) like the gain; NaN before the first gradient."""
        return torch.stack(self.told).mean(0) if self.told else torch.full((2, 3), torch.nan, dtype=torch.float64)


def game(gain: Tensor, capacity: int) -> Grammar:
    """Make a Deviator-Actor-Critic grammar on the regulator.

    gain: Actor's initial gain. capacity: capacity of the replay memory. Critic is quadratic and Deviator affine, so
    they can represent the exact solution.
    """
    state, action = SYSTEM.widths
    return dac(
        regulator(SYSTEM, envs=ENVS, batch=BATCH, capacity=capacity),
        gaussian((action,), batch=ENVS, symbol="envs", scale=SIGMA, dtype=torch.float64),
        Factory.of(LinearPolicy, gain),
        Factory.of(QuadraticValue, state, action, torch.float64),
        Factory.of(AffineSlope, state, action, torch.float64),
        gamma=SYSTEM.gamma,
        soft=0.05,
    )


def falling(rounds: int, rate: float, start: int = 0) -> AgentSpecification:
    """Return the agent Adam with a learning rate that falls to zero at the last round.

    start: the first round with a move.
    """
    schedule = {"scheduler": "PolynomialLR", "scheduler_arguments": {"total_iters": rounds - start, "power": 1.0}}
    return AgentSpecification.of("Adam", {"lr": rate}, **schedule, cadence=Cadence(1, start))


def learn(grammar: Grammar, actor: AgentSpecification, rounds: int, seed: int, window: int, looks: int = 30) -> Learned:
    """Train, and evaluate all players `looks` times. Return the final values and the evaluations.

    window: number of rounds over which Actor's gradient is averaged.
    """
    agents = {"Actor": actor, "Critic": falling(rounds, 0.05), "Deviator": falling(rounds, 0.05)}
    witness, curves = Witness(grammar, window), Curves()
    with InlineExecutor(assign(grammar, agents, seed=seed), watch=witness.watch) as executor:
        for _ in range(looks - 1):
            executor.play(rounds // looks)
            _look(grammar, executor, witness, curves)
        executor.play(rounds - executor.round)
        return _look(grammar, executor, witness, curves)


def _look(grammar: Grammar, executor: InlineExecutor, witness: Witness, curves: Curves) -> Learned:
    players = {name: trained(grammar, name, executor.states()) for name in ("Actor", "Critic", "Deviator")}
    gain = players["Actor"].get_parameter("weight").detach()
    root = torch.linalg.cholesky(occupancy(SYSTEM, gain, SIGMA))
    states = torch.randn(500, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) @ root.T
    actions = states @ gain.T
    with torch.no_grad():
        value, slope = players["Critic"](states, actions).squeeze(1), players["Deviator"](states, actions)
    true_value = policy_value(SYSTEM, gain, states, SIGMA)
    learned = Learned(value, true_value, slope, states @ slope_matrix(SYSTEM, gain).T, curves)
    curves.rounds.append(executor.round)
    curves.value.append(_off(value - true_value, true_value - true_value.mean()))
    curves.slope.append(_off(slope - learned.true_slope, learned.true_slope))
    curves.told.append(witness.mean)
    curves.gradient.append(policy_gradient(SYSTEM, gain, SIGMA))
    curves.gain.append(gain)
    curves.cost.append(float(mean_cost(SYSTEM, gain)))
    return learned


def _off(error: Tensor, truth: Tensor) -> float:
    return float(error.norm() / truth.norm())


def _above(cost: float, best: Tensor) -> float:
    return cost / float(mean_cost(SYSTEM, best)) - 1


def main() -> None:
    """Train with a constant and with a learning Actor, print the results, and write the section of RESULTS.md and
    the picture.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3000)
    chosen = parser.parse_args()
    still = learn(game(HALFWAY, chosen.rounds * ENVS), RECORDER, chosen.rounds, chosen.seed, window=100)
    actor = falling(chosen.rounds, 0.004, start=300)
    nothing = torch.zeros_like(HALFWAY)
    moving = learn(game(nothing, 10 * ENVS), actor, chosen.rounds, chosen.seed, window=10)
    best = optimal_gain(SYSTEM)
    draw(PICTURE, still, moving, best, float(mean_cost(SYSTEM, best)))
    rows = [
        ["Critic's value at mu(s)", f"{still.curves.value[-1]:.2%}"],
        ["Deviator's slope at mu(s)", f"{still.curves.slope[-1]:.2%}"],
        ["Actor's delivered gradient, mean of 100 rounds", f"{still.curves.gradient_error(-1):.2%}"],
        ["moving: Actor's gain from the best", f"{_off(moving.curves.gain[-1] - best, best):.2%}"],
        ["moving: cost above the least", f"{_above(moving.curves.cost[-1], best):.2%}"],
        ["moving: cost above the least, at the start", f"{_above(moving.curves.cost[0], best):.2%}"],
    ]
    for row in rows:
        print(*row)
    text = (
        f"`python -m benchmarks.regulator --seed {chosen.seed} --rounds {chosen.rounds}`: three states, two actions, "
        f"discount {SYSTEM.gamma}, sigma {SIGMA}, {ENVS} copies, batch {BATCH} ({machine()}). Relative errors over 500 "
        "states of the discounted occupancy; the value's is relative to its deviation. First with an Actor that holds "
        "still, then with one that starts at the gain 0.\n\n"
    )
    write_section(
        "Deviator-Actor-Critic on a linear-quadratic regulator",
        text + table(["learned, beside the closed form", "relative error"], rows) + f"\n\n![curves]({PICTURE.name})",
    )


if __name__ == "__main__":
    main()
