"""Measures the CPU time of a checkpoint in all processes, for three experiments, inline and on Ray.

python -m benchmarks.saving [--repetitions 20]

Each repetition plays some rounds, then writes a checkpoint. The CPU time is that of copying the states and of writing
the copies to the disk.
"""

import os
import tempfile
import time
from pathlib import Path
from statistics import median

from antiphon.coordinator.checkpoint import Labels
from antiphon.experiments.load import read_experiment
from antiphon.launching import Launched
from benchmarks.report import options, table, write_section

EVERY = 10.0
"""Seconds between two checkpoints, for the reported share of CPU time."""
EXPERIMENTS = {
    "backprop": {},
    "dac, memory of 100 000 steps": {"dac.envs": 100, "dac.learn_from": 1000},
    "transformer": {},
}
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(processes: set[int]) -> float:
    """Return the CPU time of this process and of others, by their ids. Others count in steps of 10 ms."""
    others = processes - {os.getpid()}
    fields = [Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split() for each in others]
    return time.process_time() + sum(int(each[11]) + int(each[12]) for each in fields) / _TICKS


def measured(game: Launched, repetitions: int) -> tuple[float, float, float]:
    """Return CPU seconds of a checkpoint, seconds until the next round may begin, and bytes of the last checkpoint.

    CPU seconds are the mean, because other processes count in steps; seconds are the median.
    """
    processes = {process for _, process in game.places.values()}
    used, blocked, size = 0.0, [], 0
    with tempfile.TemporaryDirectory() as place:
        for number in range(repetitions + 1):
            game.play(3)
            folder = Path(place) / str(number)
            folder.mkdir()
            before, began = cpu_seconds(processes), time.perf_counter()
            writing = game.begin_save(folder, Labels())
            returned = time.perf_counter()
            writing.result()
            if number:  # the first one writes all blocks
                used += cpu_seconds(processes) - before
                blocked.append(returned - began)
            size = sum(path.stat().st_size for path in folder.iterdir())
    return used / repetitions, median(blocked), size


def main() -> None:
    """Measure, and write the section of RESULTS.md."""
    given, rows = options(__doc__, repetitions=20), []
    for name, changes in EXPERIMENTS.items():
        for executor in ("inline", "ray"):
            experiment = read_experiment(name.partition(",")[0], {**changes, "executor": executor})
            grammar = experiment.build()
            placement = experiment.placed_to_run(grammar)
            with experiment.launch(grammar, experiment.agents(grammar), placement) as game:
                game.play(1000 if "memory" in name else 3)
                cpu, blocked, size = measured(game, given["repetitions"])
            share = f"{100 * cpu / EVERY:.2f} %"
            rows.append([name, executor, f"{size / 2**20:.1f}", f"{1000 * blocked:.1f}", f"{1000 * cpu:.1f}", share])
    header = [
        "experiment",
        "executor",
        "MiB",
        "ms until the next round",
        "ms of CPU time",
        f"of {EVERY:g} s of one core",
    ]
    note = (
        "A checkpoint of each experiment: CPU time of all processes that host players, and the driver's. "
        "The share is of one core, with a checkpoint every 10 s. Only new blocks of a replay memory are written; the "
        "others are linked."
    )
    write_section("Costs of a checkpoint", f"`python -m benchmarks.saving`\n\n{note}\n\n{table(header, rows)}\n")


if __name__ == "__main__":
    main()
