"""Deviator-Actor-Critic on quadratic bandits of 10, 25 and 50 dimensions, compared with the known gradient.

    python -m benchmarks.dac_bandit [--dimensions 10 25 50] [--seeds 0 1] [--rounds 2500]

It runs the experiment `dac-bandit`. Deviator's output G estimates the reward's gradient at Actor's action; the tables
give the cosine between G and the true gradient.
"""

import argparse
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from antiphon.envs.bandit import TARGET, curvature
from antiphon.experiments.experiment import Experiment
from antiphon.experiments.load import read_experiment
from antiphon.grammars.grammar import Grammar
from antiphon.launching import Launched, launch
from antiphon.recipes.common.recipe import trained
from benchmarks.report import machine, table, write_section

DISTANCES = (0.8, 0.5, 0.2, 0.1, 0.05)
"""Distances relative to the start. Closer to the best action the gradient vanishes and has no useful direction."""


@dataclass(frozen=True)
class Seen:
    """What was measured after one round of training.

    distance: Actor's distance from the best action, divided by the distance at the start. cosine: between Deviator's
    output G and the true gradient of the reward.
    """

    round: int
    distance: float
    cosine: float


def learn(dimension: int, seed: int, rounds: int, every: int = 20) -> tuple[list[Seen], float]:
    """Train Deviator-Actor-Critic on a quadratic bandit.

    Returns the measurements after every `every` rounds, and the seconds of training.
    """
    lengths = {"dac_bandit.sigma_rounds": rounds, "agent.scheduler_arguments.total_iters": rounds}
    experiment = read_experiment("dac-bandit", {"seed": seed, "dac_bandit.dimension": dimension, **lengths})
    grammar, seconds, seen = experiment.build(), 0.0, []
    with launch(grammar, experiment.agents(grammar), seed=seed) as game:
        start = (_action(grammar, game) - TARGET).norm()
        while game.round < rounds:
            seen.append(_look(experiment, grammar, game, start))
            began = time.perf_counter()
            game.play(min(every, rounds - game.round))
            seconds += time.perf_counter() - began
        seen.append(_look(experiment, grammar, game, start))
    return seen, seconds


def _look(experiment: Experiment, grammar: Grammar, game: Launched, start: Tensor) -> Seen:
    action = _action(grammar, game)
    matrix = curvature(len(action), experiment.table.instance).float()
    found = _ask(trained(grammar, "Deviator", game.states()), torch.ones(1, 1), action.unsqueeze(0))
    cosine = cosine_similarity(found, -2 * matrix @ (action - TARGET), dim=0)
    return Seen(game.round, float((action - TARGET).norm() / start), float(cosine))


def _action(grammar: Grammar, game: Launched) -> Tensor:
    return _ask(trained(grammar, "Actor", game.states()), torch.ones(1, 1))


@torch.no_grad()
def _ask(player: nn.Module, *values: Tensor) -> Tensor:
    return player(*values).squeeze(0)


def _row(dimension: int, seed: int, seen: list[Seen], seconds: float) -> list[object]:
    reached = [next((each for each in seen if each.distance <= bound), None) for bound in DISTANCES]
    cosines = ["-" if each is None else f"{each.cosine:.3f} ({each.round})" for each in reached]
    return [dimension, seed, *cosines, f"{100 * seen[-1].distance:.2f} %", f"{seconds:.0f}"]


def main() -> None:
    """Train for each dimension and seed, print the results, and write this benchmark's section of RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[10, 25, 50])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--rounds", type=int, default=2500)
    chosen = parser.parse_args()
    rows = []
    for dimension in chosen.dimensions:
        for seed in chosen.seeds:
            rows.append(_row(dimension, seed, *learn(dimension, seed, chosen.rounds)))
            print(*rows[-1], flush=True)
    text = (
        f"`python -m benchmarks.dac_bandit --rounds {chosen.rounds}`: the experiment `dac_bandit`, "
        "r = -(a - a*)'C(a - a*), half of C's eigenvalues 0.1 and half 1, a* = (4, ..., 4); Critic 100-10, Deviator "
        f"300-100 rectifiers ({machine()}). Cosine of Deviator's G and the true gradient at Actor's action, when "
        "Actor's distance from a* first fell below that share of the start's (in brackets the round); last, the "
        "distance at the end.\n\n"
    )
    near = [f"cosine at {bound:.0%}" for bound in DISTANCES]
    write_section(
        "Deviator-Actor-Critic on quadratic bandits",
        text + table(["dimension", "seed", *near, "distance at the end", "seconds of training"], rows),
    )


if __name__ == "__main__":
    main()
