"""Deviator-Actor-Critic on Pendulum-v1: returns after given numbers of environment steps, per seed.

    python -m benchmarks.dac_pendulum [--seeds 0 1 2] [--steps 5000 10000] [--executor inline]

The shipped experiment `dac`, evaluated without noise on 50 episodes with reset seeds 10000 to 10049.
"""

import argparse
import time
from collections.abc import Sequence
from statistics import fmean, pstdev

from antiphon.launching import launch
from antiphon.reading import read_experiment
from benchmarks.report import machine, table, write_section


def learn(seed: int, steps: Sequence[int], executor: str) -> list[list[object]]:
    """One row per number of steps: seed, steps, mean return, deviation over episodes, seconds of training."""
    experiment = read_experiment("dac", {"seed": seed, "executor": executor})
    grammar = experiment.build()
    rows: list[list[object]] = []
    seconds = 0.0
    with launch(grammar, experiment.agents(grammar), executor=experiment.executor, seed=seed) as game:
        for goal in steps:
            began = time.perf_counter()
            game.play(goal - game.round)
            seconds += time.perf_counter() - began
            assert experiment.recipe is not None  # the library's
            found = experiment.recipe.evaluate(experiment.table, experiment.evaluation, grammar, game.states())
            rows.append([seed, goal, f"{found.mean:.1f}", f"{found.deviation:.1f}", f"{seconds:.0f}"])
            print(*rows[-1], flush=True)
    return rows


def _words(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))


def main() -> None:
    """Train on each seed, print, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, nargs="+", default=[5000, 10_000])
    parser.add_argument("--executor", choices=["inline", "ray"], default="inline")
    chosen = parser.parse_args()
    rows = [row for seed in chosen.seeds for row in learn(seed, chosen.steps, chosen.executor)]
    final = [float(str(row[2])) for row in rows if row[1] == chosen.steps[-1]]
    text = (
        f"`python -m benchmarks.dac_pendulum --seeds {_words(chosen.seeds)} --steps {_words(chosen.steps)} "
        f"--executor {chosen.executor}`: the experiment `dac`; mean return of the "
        f"deterministic policy over 50 episodes, reset seeds 10000-10049 ({machine()}). "
        f"After {chosen.steps[-1]} steps: {fmean(final):.1f} over {len(final)} seeds, "
        f"deviation {pstdev(final):.1f}.\n\n"
    )
    header = ["seed", "environment steps", "mean return", "deviation over episodes", "seconds of training"]
    write_section("Deviator-Actor-Critic on Pendulum-v1", text + table(header, rows))


if __name__ == "__main__":
    main()
