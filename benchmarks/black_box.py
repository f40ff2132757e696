"""A player that hears values beside one that hears gradients: how near the minimum they are after as many queries.

python -m benchmarks.black_box [--dimensions 2 10 50] [--budgets 100 1000 10000] [--seeds 0 1 2 3 4]
"""

import argparse
from collections.abc import Sequence
from statistics import median

import torch
from torch import Tensor

from antiphon.envs.bandit import curvature
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library import black_box_descent, gray_box_descent
from antiphon.grammars.library.point import Point
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.types import Batch, EdgeType
from antiphon.launching import agent, launch
from antiphon.oracles import black_box, coordinates, gray_box, rademacher
from benchmarks.report import machine, table, write_section

TARGET, RADIUS, STEEPEST = 4.0, 0.1, 2.0
"""Of every coordinate of the minimum; of the perturbation; the largest eigenvalue of the Hessian."""


class Bowl:
    """(theta - 4)' C (theta - 4), half of C's eigenvalues 0.1 and half 1: (..., dimension) -> (...)."""

    def __init__(self, dimension: int) -> None:
        self.curvature = curvature(dimension)

    def __call__(self, points: Tensor) -> Tensor:
        """Zero at (4, ..., 4)."""
        away = points - TARGET
        return ((away @ self.curvature) * away).sum(-1)


def players(dimension: int) -> dict[str, tuple[Grammar, float, int]]:
    """By name: the game, the length of a step, and the queries of a move.

    Steps are the largest that are sure to descend. Of one random direction the squared estimate is, on average, as many
    times the squared gradient as there are dimensions, so that its steps are so many times shorter.
    """
    signs = rademacher((dimension,), batch=1, scale=RADIUS, dtype=torch.float64)
    axes = coordinates(dimension, scale=RADIUS, dtype=torch.float64)
    return {
        "gray: gradients": (_gray(dimension), 1 / STEEPEST, 1),
        "black: all axes": (_black(dimension, axes), 1 / STEEPEST, 2 * dimension),
        "black: signs": (_black(dimension, signs), 1 / (STEEPEST * dimension), 2),
    }


def _gray(dimension: int) -> Grammar:
    point, value = EdgeType((dimension,), torch.float64), EdgeType((), torch.float64)
    return gray_box_descent(gray_box(Factory.of(Bowl, dimension), [point], [value]), _player(dimension))


def _black(dimension: int, noise: OracleDeclaration) -> Grammar:
    points, values = EdgeType((Batch(), dimension), torch.float64), EdgeType((Batch(),), torch.float64)
    box = black_box(Factory.of(Bowl, dimension), [points], [values], sizes=dict(noise.sizes))
    return black_box_descent(box, noise, _player(dimension))


def _player(dimension: int) -> Factory:
    return Factory.of(Point, dimension, dtype=torch.float64)


def descend(game: Grammar, step: float, each: int, budgets: Sequence[int], seed: int) -> list[float]:
    """The distance from the minimum over that at the start, after each budget of queries, as Oracle counted them."""
    found = []
    with launch(game, agent("SGD", lr=step), seed=seed) as play:
        for budget in budgets:
            report = play.play(budget // each - play.round).reports["Oracle"]
            asked = report["gradients"] or report["values"]
            assert asked == each * play.round, (asked, each, play.round)
            theta = play.states()["Player"]["parameters"]["theta"]
            found.append(float((theta - TARGET).norm()) / (TARGET * len(theta) ** 0.5))
    return found


def main() -> None:
    """Descend, print, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[2, 10, 50])
    parser.add_argument("--budgets", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    chosen = parser.parse_args()
    rows: list[list[object]] = []
    for dimension in chosen.dimensions:
        for name, (game, step, each) in players(dimension).items():
            seeds = chosen.seeds if name == "black: signs" else chosen.seeds[:1]  # the others know no chance
            runs = [descend(game, step, each, chosen.budgets, seed) for seed in seeds]
            distances = [f"{median(column):.1e}" for column in zip(*runs, strict=True)]
            rows.append([name, dimension, each, f"{step:g}", *distances])
            print(*rows[-1], flush=True)
    text = (
        "`python -m benchmarks.black_box`: distance from the minimum of a quadratic over that at the start, after as "
        "many queries as Oracle counted: gradients for the gray player, values for the black ones. Curvatures differ "
        f"by ten; steps are the longest that are sure to descend; medians over {len(chosen.seeds)} seeds "
        f"({machine()}).\n\n"
    )
    header = [
        "player",
        "dimension",
        "queries a move",
        "step",
        *(f"after {budget} queries" for budget in chosen.budgets),
    ]
    write_section("Values against gradients", text + table(header, rows))


if __name__ == "__main__":
    main()
