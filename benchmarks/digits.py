"""Backpropagation on handwritten digits: test accuracy of the included experiments on both executors.

python -m benchmarks.digits [--seeds 0 1 2] [--executors inline ray]
"""

import argparse
import time

from antiphon.experiments.load import read_experiment
from antiphon.launching import launch
from benchmarks.report import machine, table, write_section

EXPERIMENTS = ("backprop", "backprop-convolutional")


def learn(name: str, seed: int, executor: str) -> list[object]:
    """Train one experiment. Return a table row: experiment, seed, executor, accuracy, final loss, seconds of training.

    The loss has all its digits, to show that executors agree.
    """
    experiment = read_experiment(name, {"seed": seed, "executor": executor})
    grammar = experiment.build()
    with launch(grammar, experiment.agents(grammar), executor=experiment.executor, seed=seed) as game:
        began = time.perf_counter()
        played = game.play(experiment.rounds)
        seconds = time.perf_counter() - began
        assert experiment.recipe is not None and experiment.recipe.evaluate is not None  # true for library grammars
        found = experiment.recipe.evaluate(experiment.table, experiment.evaluation, grammar, game.states())
    return [name, seed, executor, f"{found.mean:.1f} %", repr(played.losses["Loss"].values[-1]), f"{seconds:.0f}"]


def main() -> None:
    """Train, print the table, and write this benchmark's section of RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--executors", nargs="+", default=["inline", "ray"])
    chosen = parser.parse_args()
    rows = []
    for name in EXPERIMENTS:
        for seed in chosen.seeds:
            for executor in chosen.executors:
                rows.append(learn(name, seed, executor))
                print(*rows[-1], flush=True)
    text = (
        "`python -m benchmarks.digits`: the shipped experiments, 360 test images of scikit-learn's digits, stratified "
        f"and fixed ({machine()}). Equal final losses, to the last digit, are equal runs.\n\n"
    )
    header = ["experiment", "seed", "executor", "test accuracy", "last training loss", "seconds"]
    write_section("Backpropagation on digits", text + table(header, rows))


if __name__ == "__main__":
    main()
