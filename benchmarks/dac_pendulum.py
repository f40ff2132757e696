"""Deviator-Actor-Critic on Pendulum-v1, compared with the critic-derivative response: returns per seed and steps.

    python -m benchmarks.dac_pendulum [--experiments dac critic_derivative] [--seeds 0 1 2] [--steps 5000 10000]

It runs the included experiments and evaluates them without noise on 50 episodes with reset seeds 10000 to 10049.
"""

import argparse
import time
from collections.abc import Sequence
from statistics import fmean, pstdev

from antiphon.experiments.load import read_experiment
from antiphon.launching import launch
from benchmarks.report import machine, table, write_section


def learn(name: str, seed: int, steps: Sequence[int], executor: str) -> list[list[object]]:
    """Train one experiment with one seed. Return one table row per number of environment steps.

    A row has: name, seed, steps, mean return, standard deviation over episodes, seconds of training.
    """
    experiment = read_experiment(name, {"seed": seed, "executor": executor})
    grammar = experiment.build()
    rows: list[list[object]] = []
    seconds = 0.0
    with launch(grammar, experiment.agents(grammar), executor=experiment.executor, seed=seed) as game:
        for goal in steps:
            began = time.perf_counter()
            game.play(goal - game.round)
            seconds += time.perf_counter() - began
            assert experiment.recipe is not None and experiment.recipe.evaluate is not None  # true for library grammars
            found = experiment.recipe.evaluate(experiment.table, experiment.evaluation, grammar, game.states())
            rows.append([name, seed, goal, f"{found.mean:.1f}", f"{found.deviation:.1f}", f"{seconds:.0f}"])
            print(*rows[-1], flush=True)
    return rows


def _words(values: Sequence[object]) -> str:
    return " ".join(map(str, values))


def _summary(name: str, rows: Sequence[Sequence[object]], steps: int) -> str:
    final = [float(str(row[3])) for row in rows if row[0] == name and row[2] == steps]
    over = f"over {len(final)} seeds, deviation {pstdev(final):.1f}"
    return f"`{name}` after {steps} steps: {fmean(final):.1f} {over}."


def main() -> None:
    """Train on each seed, print the results, and write this benchmark's section of RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", nargs="+", default=["dac", "critic-derivative"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, nargs="+", default=[5000, 10_000])
    parser.add_argument("--executor", choices=["inline", "ray"], default="inline")
    chosen = parser.parse_args()
    rows = [
        row
        for name in chosen.experiments
        for seed in chosen.seeds
        for row in learn(name, seed, chosen.steps, chosen.executor)
    ]
    summaries = [_summary(name, rows, chosen.steps[-1]) for name in chosen.experiments]
    text = (
        f"`python -m benchmarks.dac_pendulum --experiments {_words(chosen.experiments)} --seeds {_words(chosen.seeds)} "
        f"--steps {_words(chosen.steps)} --executor {chosen.executor}`: mean return of the deterministic policy over "
        f"50 episodes, reset seeds 10000-10049 ({machine()}). {' '.join(summaries)}\n\n"
    )
    header = [
        "experiment",
        "seed",
        "environment steps",
        "mean return",
        "deviation over episodes",
        "seconds of training",
    ]
    write_section("Deviator-Actor-Critic on Pendulum-v1", text + table(header, rows))


if __name__ == "__main__":
    main()
