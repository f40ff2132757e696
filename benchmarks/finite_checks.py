"""Measures the CPU time of a round with each policy `on_nonfinite`, with checksums, and without any test.

python -m benchmarks.finite_checks [--width 256] [--batch 64] [--rounds 200] [--repetitions 15]
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import get_args
from unittest.mock import patch

import ray
import torch

from antiphon.agents import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.nonfinite import FiniteCheck, RoundCheck
from antiphon.coordinator.plan.assignment import Assignment, OnNonfinite, assign
from antiphon.coordinator.plan.placement import spread, together
from antiphon.deploy.embedded import ray_session
from antiphon.deploy.executor import RayExecutor
from antiphon.deploy.pool import Pool
from benchmarks.paired import in_turn
from benchmarks.report import machine, options, table, write_section
from benchmarks.round_latency import RATE, Sizes, grammar_of

UNCHECKED = "no check"
VOTE = "skip-round"
CHECKSUMS = "checksums"
MORE_ON_RAY = 10  # times as many rounds, because the kernel counts the time of processes in steps of 10 ms


@contextmanager
def unchecked() -> Iterator[None]:
    """A context manager that turns off all tests, for executors that are made and play their rounds inside it."""
    with (
        patch.object(FiniteCheck, "checked", lambda _, __, play: play),
        patch.object(RoundCheck, "settle", lambda *_: None),
    ):
        yield


def seconds_inline(executor: InlineExecutor, rounds: int, checks: bool) -> float:
    """Play rounds in this process, and return the CPU time of one, in seconds."""
    with ExitStack() as scope:
        if not checks:
            scope.enter_context(unchecked())
        began = time.process_time()
        executor.play(rounds)
        return (time.process_time() - began) / rounds


def seconds_on_ray(executor: RayExecutor, rounds: int) -> float:
    """Play rounds on Ray, and return the CPU time of one in all workers together, in seconds."""
    processes = [process for _, process in ray.get([each.address.remote() for each in executor.workers.values()])]
    began = sum(map(_cpu, processes))
    executor.play(rounds)
    return (sum(map(_cpu, processes)) - began) / rounds


def _cpu(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def inline(sizes: Sizes, settled: Callable[[OnNonfinite], Assignment], scope: ExitStack) -> dict[str, list[float]]:
    """Return the CPU times of a round in this process, without a check and with each policy."""
    with unchecked():
        found = {UNCHECKED: InlineExecutor(settled("fail"))}
    found |= {policy: InlineExecutor(settled(policy)) for policy in get_args(OnNonfinite)}
    for each in found.values():
        scope.enter_context(each)
    measures = {
        name: partial(seconds_inline, executor, sizes.rounds, name != UNCHECKED) for name, executor in found.items()
    }
    return {name: list(times) for name, times in in_turn(measures, sizes.repetitions).items()}


def measure(sizes: Sizes) -> str:
    """Measure everything, and return the report as text."""
    torch.set_num_threads(1)
    grammar, agents = grammar_of(sizes), AgentSpecification.of("SGD", {"lr": RATE})
    one, six = (partial(assign, grammar, agents, placement=place(grammar)) for place in (together, spread))
    with ExitStack() as scope:
        alone = inline(sizes, lambda policy: one(on_nonfinite=policy), scope)
        apart = inline(sizes, lambda policy: six(on_nonfinite=policy), scope)
    with ray_session(num_cpus=16), ExitStack() as scope:
        pool = Pool(3 * len(spread(grammar).workers))
        scope.callback(pool.close)
        on_ray = {}
        fail, vote = six(on_nonfinite="fail"), six(on_nonfinite="skip-round")
        for name, assignment, checksum in (("fail", fail, False), (VOTE, vote, False), (CHECKSUMS, fail, True)):
            executor = RayExecutor(assignment, name, checksum=checksum, pool=pool)
            on_ray[name] = partial(seconds_on_ray, scope.enter_context(executor), MORE_ON_RAY * sizes.rounds)
        times = {name: min(each) for name, each in in_turn(on_ray, 5).items()}
    return "\n\n".join([_inline_table(alone, apart), _ray_text(apart, times)])


def _inline_table(alone: dict[str, list[float]], apart: dict[str, list[float]]) -> str:
    rows = [
        [name, *(text for times in (alone, apart) for text in (f"{min(times[name]) * 1e6:.0f}", _more(times, name)))]
        for name in alone
    ]
    return table(["policy", "one worker, µs", "more", "six workers in one process, µs", "more"], rows)


def _more(times: dict[str, list[float]], name: str) -> str:
    return f"{100 * (min(times[name]) / min(times[UNCHECKED]) - 1):.1f} %"


def _ray_text(apart: dict[str, list[float]], on_ray: dict[str, float]) -> str:
    check = min(apart["fail"]) - min(apart[UNCHECKED])
    paired = median(one - other for one, other in zip(apart["fail"], apart[UNCHECKED], strict=True))
    round, vote, checksums = on_ray["fail"], on_ray[VOTE] / on_ray["fail"] - 1, on_ray[CHECKSUMS] - on_ray["fail"]
    return (
        f"On Ray, the six workers together use {round * 1e6:.0f} µs of CPU time for a round. The checks of the same "
        f"six workers are {check * 1e6:.0f} µs of it ({100 * check / round:.1f} %; median of the pairs "
        f'{paired * 1e6:.0f} µs). With "skip-round", whose vote sends {2 * 5} more messages, a round takes '
        f"{100 * vote:.0f} % more CPU time. A checksum of every message, at both ends, takes {checksums * 1e6:.0f} µs "
        f"({100 * checksums / round:.1f} %). A deadline is the argument of a system call that a wait makes anyway."
    )


def main() -> None:
    """Measure, print the report, and write this benchmark's section of RESULTS.md."""
    sizes = Sizes(**options(__doc__, width=256, batch=64, rounds=200, repetitions=15))
    report = measure(sizes)
    print(report)
    write_section(
        f"Search for NaN and infinity, width {sizes.width}",
        f"`python -m benchmarks.finite_checks --width {sizes.width} --batch {sizes.batch} --rounds {sizes.rounds} "
        f"--repetitions {sizes.repetitions}`: the network of the latency of a round, in CPU time; the smallest of "
        f"all repetitions, which are measured in turn ({machine()}).\n\n{report}",
    )


if __name__ == "__main__":
    main()
