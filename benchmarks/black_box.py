"""Compare a player that receives only values of a function with a player that receives gradients.

The measure is the distance from the minimum after equal numbers of queries.

python -m benchmarks.black_box [--dimensions 2 10 50] [--budgets 100 1000 10000] [--seeds 0 1 2 3 4]
"""

import argparse
from collections.abc import Mapping, Sequence
from statistics import median
from typing import final

import torch
from torch import Tensor

from antiphon.agents.specification import AgentSpecification
from antiphon.envs.bandit import curvature
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library import black_box_descent, gray_box_descent
from antiphon.grammars.library.point import Point
from antiphon.grammars.oracle import OracleDeclaration, Question, State
from antiphon.grammars.types import Batch, EdgeType
from antiphon.launching import agent, launch
from antiphon.oracles import black_box, coordinates, gray_box, rademacher
from antiphon.oracles.draws import Draws
from benchmarks.report import machine, table, write_section

TARGET, RADIUS, STEEPEST, FLATTEST = 4.0, 0.1, 2.0, 0.2
"""Every coordinate of the minimum; radius of the perturbation; largest and smallest eigenvalue of the Hessian."""


class Bowl:
    """The quadratic (theta - 4)' C (theta - 4): (..., dimension) -> (...).

    Half of C's eigenvalues are 0.1, half are 1.
    """

    def __init__(self, dimension: int) -> None:
        self.curvature = curvature(dimension)

    def __call__(self, points: Tensor) -> Tensor:
        """Return the value of the quadratic at each point; it is zero at (4, ..., 4)."""
        away = points - TARGET
        return ((away @ self.curvature) * away).sum(-1)


@final
class NoisyBowl:
    """A black-box oracle that answers values of a quadratic with independent normal noise, and counts the answers."""

    def __init__(self, dimension: int, deviation: float, *, seed: int) -> None:
        self._bowl, self._deviation, self._draws, self._values = Bowl(dimension), deviation, Draws(seed), 0

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Return the noisy values of the points: (batch, dimension) -> (batch,)."""
        value = self._bowl(inputs[0])
        self._values += len(value)
        noise = torch.randn(value.shape, generator=self._draws.at(round), dtype=value.dtype)
        return (value + self._deviation * noise,)

    def state(self) -> State:
        """Return the number of answered values."""
        return {"values": self._values}

    def load(self, state: State) -> None:
        """Continue counting from a saved state."""
        self._values = state["values"]

    def report(self) -> Mapping[str, float]:
        """Return the number of answered values."""
        return {"values": self._values, "gradients": 0}

    def close(self) -> None:
        """Do nothing: there are no resources to release."""


@final
class Falling:
    """An agent for gradient descent with the step length first / (1 + moves / patience).

    The sum of all step lengths is infinite, and the sum of their squares is finite.
    """

    def __init__(self, parameters: Sequence[Tensor], first: float, patience: float) -> None:
        self._parameters, self._first, self._patience, self._moves = parameters, first, patience, 0
        self._heard = [torch.zeros_like(each) for each in parameters]

    def hear(self, response: Sequence[Tensor]) -> None:
        """Add the response to those received since the last move."""
        self._heard = [mine + new for mine, new in zip(self._heard, response, strict=True)]

    def move(self) -> Sequence[Tensor]:
        """Make one step. Each step length is smaller than the one before."""
        step = self._first / (1 + self._moves / self._patience)
        self._parameters = [mine - step * new for mine, new in zip(self._parameters, self._heard, strict=True)]
        self._heard = [torch.zeros_like(each) for each in self._parameters]
        self._moves += 1
        return [each.clone() for each in self._parameters]

    def state(self) -> State:
        """Return the number of moves so far."""
        return {"moves": self._moves}

    def load(self, state: State) -> None:
        """Continue from a saved state."""
        self._moves = state["moves"]


def players(dimension: int, deviation: float) -> dict[str, tuple[Grammar, float, int]]:
    """Return for each player, by name: the grammar, the length of the first step, and the number of queries per move.

    deviation: deviation of the noise in the values. The first step is the longest step that surely decreases the
    function. With one random direction per move, the expected square of the estimated gradient is `dimension` times the
    squared gradient. So the step is `dimension` times shorter.
    """
    signs = rademacher((dimension,), batch=1, scale=RADIUS, dtype=torch.float64)
    axes = coordinates(dimension, scale=RADIUS, dtype=torch.float64)
    black = {
        "black: all axes": (_black(dimension, axes, deviation), 1 / STEEPEST, 2 * dimension),
        "black: signs": (_black(dimension, signs, deviation), 1 / (STEEPEST * dimension), 2),
    }
    return black if deviation else {"gray: gradients": (_gray(dimension), 1 / STEEPEST, 1), **black}


def agent_of(step: float, deviation: float) -> AgentSpecification:
    """Return the agent: constant steps if there is no noise; with noise, falling steps.

    Falling steps are half as long after 1 / (step * FLATTEST) moves. deviation: deviation of the noise in the values.
    """
    if not deviation:
        return agent("SGD", lr=step)
    return agent(agent="benchmarks.black_box:Falling", first=step, patience=1 / (step * FLATTEST))


def _gray(dimension: int) -> Grammar:
    point, value = EdgeType((dimension,), torch.float64), EdgeType((), torch.float64)
    return gray_box_descent(gray_box(Factory.of(Bowl, dimension), [point], [value]), _player(dimension))


def _black(dimension: int, noise: OracleDeclaration, deviation: float) -> Grammar:
    points, values = EdgeType((Batch(), dimension), torch.float64), EdgeType((Batch(),), torch.float64)
    box = black_box(Factory.of(Bowl, dimension), [points], [values], sizes=dict(noise.sizes))
    if deviation:
        made = Factory.of(NoisyBowl, dimension, deviation)
        box = OracleDeclaration(made, (Question("value", (points,), (values,)),), noise.sizes)
    return black_box_descent(box, noise, _player(dimension))


def _player(dimension: int) -> Factory:
    return Factory.of(Point, dimension, dtype=torch.float64)


def descend(game: Grammar, by: AgentSpecification, each: int, budgets: Sequence[int], seed: int) -> list[float]:
    """Train, and return the distance from the minimum, divided by the distance at the start, after each budget of
    queries.

    each: queries per move. Oracle counts the queries.
    """
    found = []
    with launch(game, by, seed=seed) as play:
        for budget in budgets:
            report = play.play(budget // each - play.round).reports["Oracle"]
            asked = report["gradients"] or report["values"]
            assert asked == each * play.round, (asked, each, play.round)
            theta = play.states()["Player"]["parameters"]["theta"]
            found.append(float((theta - TARGET).norm()) / (TARGET * len(theta) ** 0.5))
    return found


def compare(
    dimensions: Sequence[int], budgets: Sequence[int], seeds: Sequence[int], deviation: float
) -> list[list[object]]:
    """Return a table row for each dimension and player: the distances from the minimum, as medians over seeds."""
    rows: list[list[object]] = []
    for dimension in dimensions:
        for name, (game, step, each) in players(dimension, deviation).items():
            chance = deviation or name == "black: signs"
            tried = seeds if chance else seeds[:1]
            runs = [descend(game, agent_of(step, deviation), each, budgets, seed) for seed in tried]
            distances = [f"{median(column):.1e}" for column in zip(*runs, strict=True)]
            rows.append([name, dimension, each, f"{step:g}", *distances])
            print(*rows[-1], flush=True)
    return rows


def main() -> None:
    """Run all players, print the results, and write this benchmark's section of RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[2, 10, 50])
    parser.add_argument("--budgets", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--deviation", type=float, default=0.3, help="of the noise in the second table")
    chosen = parser.parse_args()
    header = [
        "player",
        "dimension",
        "queries a move",
        "step",
        *(f"after {budget} queries" for budget in chosen.budgets),
    ]
    exact, noisy = (
        table(header, compare(chosen.dimensions, chosen.budgets, chosen.seeds, deviation))
        for deviation in (0.0, chosen.deviation)
    )
    text = (
        "`python -m benchmarks.black_box`: distance from the minimum of a quadratic over that at the start, after as "
        "many queries as Oracle counted: gradients for the gray player, values for the black ones. Curvatures differ "
        f"by ten; steps are the longest that are sure to descend; medians over {len(chosen.seeds)} seeds "
        f"({machine()}).\n\n{exact}\n\n"
        f"The same with noise of deviation {chosen.deviation:g} in every value, and steps that fall from there as one "
        f"over the number of moves:\n\n{noisy}"
    )
    write_section("Values against gradients", text)


if __name__ == "__main__":
    main()
