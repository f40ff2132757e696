"""Measures the time from the kill of a worker to the end of the first new round, for six workers on Ray.

python -m benchmarks.recovery [--repetitions 30] [--width 256] [--batch 64]
"""

import os
import random
import signal
import statistics
import tempfile
import threading
import time
from pathlib import Path

import ray

from antiphon.agents import AgentSpecification
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.round_file import last_round
from antiphon.deploy.embedded import ray_session
from antiphon.deploy.executor import RayExecutor
from antiphon.deploy.recovery import RecoveringExecutor
from benchmarks.report import machine, options, table, write_section
from benchmarks.round_latency import Sizes, grammar_of


def until_first_round(executor: RecoveringExecutor, plain: RayExecutor, victim: str) -> float:
    """Kill a worker in the middle of rounds, and return the seconds until all workers have played a new round.

    A checkpoint was just written. The first new round is the first round after it.
    """
    pid, first, before = ray.get(plain.workers[victim].address.remote())[1], executor.round, plain.history.generation
    seconds: list[float] = []

    def strike() -> None:
        while (last_round(plain.workers[victim]) or 0) < first + 20:
            time.sleep(0.001)
        began = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        while plain.history.generation == before or not all(
            (last_round(worker) or 0) > first for worker in plain.workers.values()
        ):
            time.sleep(0.001)
        seconds.append(time.perf_counter() - began)

    thread = threading.Thread(target=strike)
    thread.start()
    executor.play(200)
    thread.join()
    return seconds[0]


def measured(sizes: Sizes) -> list[float]:
    """Return the seconds of each recovery, with another victim each time."""
    grammar, source = grammar_of(sizes), random.Random(0)
    assignment = assign(grammar, AgentSpecification.of("SGD", {"lr": 0.01}), placement=spread(grammar))
    with ray_session(), tempfile.TemporaryDirectory() as folder, RayExecutor(assignment, "recovery") as plain:
        executor = RecoveringExecutor(plain, max_recoveries=sizes.repetitions)
        executor.play(20)
        found = []
        for number in range(sizes.repetitions):
            executor.save(Path(folder) / str(number))
            found.append(until_first_round(executor, plain, source.choice(list(plain.workers))))
        return sorted(found)


def main(width: int, batch: int, repetitions: int) -> None:
    """Measure, print, and write the section."""
    found = measured(Sizes(width, batch, 0, repetitions))
    rows = [["median", f"{statistics.median(found):.2f}"], ["worst", f"{found[-1]:.2f}"], ["best", f"{found[0]:.2f}"]]
    text = (
        f"`python -m benchmarks.recovery --repetitions {repetitions}`: seconds from SIGKILL to a worker, in the middle "
        f"of a round, until all six workers have played the first round after the last checkpoint; four layers of "
        f"width {width}, batch {batch}, Nature and the loss, {repetitions} kills of random workers ({machine()}).\n\n"
        f"{table(['from the kill to the end of the first new round', 'seconds'], rows)}"
    )
    print(text)
    write_section("Recovery of a killed worker", text)


if __name__ == "__main__":
    main(**options(__doc__, width=256, batch=64, repetitions=30))
