"""A long run inline and another on Ray at the same time: samples of memory, descriptors and threads of all processes.

python -m benchmarks.soak [--minutes 30]
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression

from benchmarks.pictures import pyplot
from benchmarks.report import machine, options, table, write_section
from benchmarks.scale.playing import family, memory, title

EXECUTORS = ("inline", "ray")
SETTINGS = ("dac.capacity=20000", "dac.warmup=1000", "checkpoint_every=2000")
"""Changes to the demonstration's experiment. After a few minutes, its replay buffer is full and no longer grows."""
PERIOD = 5.0
"""Seconds from one sample to the next."""
PLOT = Path(__file__).with_name("soak.png")


@dataclass(frozen=True)
class Sample:
    """One process at one moment: minutes since the start, MiB (PSS), open descriptors, threads."""

    minutes: float
    memory: float
    descriptors: int
    threads: int


Lives = dict[tuple[int, str], list[Sample]]
"""The samples of each process, by its id and its name."""


def started(executor: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start the demonstration's run with 10**8 rounds, as a command in a new process group."""
    settings = [part for each in SETTINGS for part in ("--set", each)]
    command = [sys.executable, "-m", "antiphon", "run", "dac-pendulum-demo", "--executor", executor]
    run = [*command, "--rounds", str(10**8), "--out", str(folder / executor), *settings]
    return subprocess.Popen(run, stdout=subprocess.DEVNULL, start_new_session=True)


def sampled(process: int, minutes: float) -> Sample:
    """Measure a process now. Raises OSError if it has ended."""
    folder = Path("/proc") / str(process)
    counts = len(os.listdir(folder / "fd")), len(os.listdir(folder / "task"))
    return Sample(minutes, memory(process) / 2**20, *counts)


def named(process: int) -> str:
    """Return a short name of a process: the actor's, or the program's and its script's."""
    words = title(process).split()
    if not words or words[0].startswith("ray::"):
        return words[0] if words else "?"
    scripts = [Path(word).name for word in words[1:] if word.endswith(".py")]
    return " ".join([Path(words[0]).name, *scripts[:1]])


def watch(runs: Mapping[str, subprocess.Popen[bytes]], minutes: float) -> Mapping[str, Lives]:
    """Sample all processes of all runs until the time is over. Raises RuntimeError if a run ends before."""
    lives: dict[str, Lives] = {executor: defaultdict(list) for executor in runs}
    began = time.monotonic()
    while (passed := (time.monotonic() - began) / 60) < minutes:
        for executor, run in runs.items():
            if run.poll() is not None:
                raise RuntimeError(f"the run on {executor} ended after {passed:.1f} minutes, with {run.returncode}")
            for process in (run.pid, *family(run.pid)):
                with contextlib.suppress(OSError, StopIteration):  # it ended
                    lives[executor][process, named(process)].append(sampled(process, passed))
        time.sleep(PERIOD)
    return lives


def settled(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Return the samples of the second half of a process's life."""
    return samples[len(samples) // 2 :]


def rows(lives: Mapping[str, Lives], minutes: float) -> Iterable[Sequence[object]]:
    """Yield a row for each process that lived to the end."""
    for executor, found in lives.items():
        for (_, name), samples in found.items():
            late = settled(samples)
            if len(late) < 3 or late[-1].minutes < 0.9 * minutes:
                continue
            slope = linear_regression([each.minutes / 60 for each in late], [each.memory for each in late]).slope
            middle, last = late[0], late[-1]
            counts = f"{middle.descriptors} -> {last.descriptors}", f"{middle.threads} -> {last.threads}"
            yield executor, name, f"{middle.memory:.1f} -> {last.memory:.1f}", f"{slope:+.1f}", *counts


def draw(lives: Mapping[str, Lives]) -> None:
    """Draw two rows of panels, one for each executor: memory and descriptors of every process by time."""
    figure, axes = pyplot.subplots(len(lives), 2, figsize=(11, 3.6 * len(lives)), layout="constrained", squeeze=False)
    for (executor, found), (sizes, files) in zip(lives.items(), axes, strict=True):
        for samples in found.values():
            at = [each.minutes for each in samples]
            sizes.plot(at, [each.memory for each in samples], linewidth=1)
            files.plot(at, [each.descriptors for each in samples], linewidth=1)
        sizes.set(xlabel=f"minutes, {executor}", ylabel="memory, MiB", ylim=(0, None))
        files.set(xlabel=f"minutes, {executor}", ylabel="descriptors", ylim=(0, None))
    for axis in axes.flat:
        axis.grid(alpha=0.3)
    figure.savefig(PLOT, dpi=90)
    pyplot.close(figure)


def main() -> None:
    """Run, print the table, and write this benchmark's section of RESULTS.md and the plot."""
    minutes: float = options(__doc__, minutes=30.0)["minutes"]
    with tempfile.TemporaryDirectory() as folder:
        runs = {executor: started(executor, Path(folder)) for executor in EXECUTORS}
        try:
            lives = watch(runs, minutes)
        finally:
            for run in runs.values():
                run.send_signal(signal.SIGINT)
        ends = {executor: run.wait(120) for executor, run in runs.items()}
        played = {each: sum(1 for _ in (Path(folder) / each / "metrics.jsonl").open()) for each in EXECUTORS}
    header = ["executor", "process", "MiB, from the middle to the end", "MiB an hour", "descriptors", "threads"]
    report = (
        f"`python -m benchmarks.soak --minutes {minutes:g}`: the demonstration's experiment without an end, "
        f"with {', '.join(SETTINGS)}; both runs at once ({machine()}). Memory is PSS. The slope is of the second half. "
        + ", ".join(
            f"{each}: {played[each]} rows of metrics, exit code {ends[each]} after Ctrl-C" for each in EXECUTORS
        )
        + f".\n\n{table(header, rows(lives, minutes))}\n\n![Memory and descriptors of every process]({PLOT.name})"
    )
    print(report)
    draw(lives)
    write_section("Soak: long runs", report)


if __name__ == "__main__":
    main()
