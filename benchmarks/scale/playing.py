"""Measurements on Ray, with as many workers as this machine can hold: rounds, calls, openings of runs, checkpoints."""

import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import ray

from antiphon.coordinator.connection import Transport
from antiphon.coordinator.plan.assignment import Assignment
from antiphon.deploy.executor import RayExecutor
from antiphon.deploy.pool import Pool

WORKER, COORDINATOR = "ray::Worker", "ray::Coordinator"
_PROCESSES = Path("/proc")


@dataclass(frozen=True)
class Spent:
    """The time of an action: clock seconds, and core seconds of workers, of coordinators, and of all processes of
    this run.
    """

    clock: float
    workers: float
    coordinator: float
    everyone: float

    def over(self, count: int) -> "Spent":
        """Return the seconds divided by `count`."""
        return Spent(self.clock / count, self.workers / count, self.coordinator / count, self.everyone / count)


@dataclass(frozen=True)
class Seen:
    """The measured times of one run.

    meet: time to open the run. calls: time of one call of `play` with 0 rounds. rounds: time of one round, for each
    repetition. save: time to save a checkpoint.
    """

    workers: int
    meet: Spent
    calls: Spent
    rounds: tuple[Spent, ...]
    save: Spent


def family(root: int) -> list[int]:
    """Return the ids of all descendants of the process `root`, read from /proc."""
    children: dict[int, list[int]] = defaultdict(list)
    for folder in _PROCESSES.iterdir():
        if folder.name.isdigit():
            try:
                children[int((folder / "stat").read_text().rpartition(")")[2].split()[1])].append(int(folder.name))
            except OSError:
                continue  # it ended
    found, waiting = [], [root]
    while waiting:
        found += children[waiting[-1]]
        waiting += children[waiting.pop()]
    return found


def core_seconds(process: int) -> float:
    """Return the CPU seconds used so far by all threads of a process, with nanosecond resolution."""
    total = 0
    for thread in (_PROCESSES / str(process) / "task").iterdir():
        try:
            total += int((thread / "schedstat").read_text().split()[0])
        except OSError:
            continue  # it ended
    return total / 1e9


def title(process: int) -> str:
    """Return the command line of a process."""
    return (_PROCESSES / str(process) / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ").strip()


def memory(process: int) -> int:
    """Return the memory of a process in bytes (PSS: shared pages are divided among the processes that share them)."""
    lines = (_PROCESSES / str(process) / "smaps_rollup").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("Pss:")).split()[1])


def workers_of(processes: Iterable[int], name: str = WORKER) -> list[int]:
    """Return the processes whose command line begins with `name`, such as the actors of one class."""
    return [each for each in processes if title(each).startswith(name)]


def spent(act: Callable[[], object]) -> Spent:
    """Call `act`, and measure the clock time, and the CPU time of this process and its descendants by kind."""
    everyone = family(os.getpid())
    kinds = {each: title(each) for each in everyone}
    before, began = {each: core_seconds(each) for each in everyone}, time.perf_counter()
    act()
    clock = time.perf_counter() - began
    used = {each: core_seconds(each) - before[each] for each in everyone if (_PROCESSES / str(each)).exists()}

    def of(name: str) -> float:
        return sum(each for process, each in used.items() if kinds[process].startswith(name))

    return Spent(clock, of(WORKER), of(COORDINATOR), sum(used.values()))


def seen(
    assignment: Assignment,
    pool: Pool,
    rounds: int,
    name: str,
    repetitions: int = 3,
    transport: Transport = Transport.PROCESS_GROUP,
) -> Seen:
    """Measure the times of one run: open it, warm up, call `play` with 0 rounds, play `rounds` rounds, save."""
    opened: list[RayExecutor] = []
    meeting = spent(
        lambda: opened.append(RayExecutor(assignment, name, transport=transport, deadline=120.0, pool=pool))
    )
    (run,) = opened
    with run, tempfile.TemporaryDirectory() as folder:
        run.play(3)
        calls = spent(lambda: [run.play(0) for _ in range(10)]).over(10)
        played = tuple(spent(lambda: run.play(rounds)).over(rounds) for _ in range(repetitions))
        saved = spent(lambda: run.save(Path(folder)))
    return Seen(len(assignment.schedule.workers), meeting, calls, played, saved)


def post_seconds(assignment: Assignment, pool: Pool, rounds: int) -> float:
    """Return the CPU seconds of Nature's process per message that it sends, in a game where it sends many in a row."""
    sent = sum(edge.source == "Nature" for edge in assignment.schedule.edges.values())
    with RayExecutor(assignment, "post", deadline=120.0, pool=pool) as run:
        _, process = ray.get(run.workers["Nature"].address.remote())
        run.play(3)
        before = core_seconds(process)
        run.play(rounds)
        return (core_seconds(process) - before) / rounds / sent


def all_seen(
    games: Mapping[str, Callable[[int], Assignment]], sizes: Iterable[int], pool: Pool, rounds: int, passes: int
) -> dict[tuple[str, int], list[Seen]]:
    """Measure every game with every number of workers in turn, and repeat this `passes` times."""
    found: dict[tuple[str, int], list[Seen]] = defaultdict(list)
    sizes = tuple(sizes)
    for number in range(passes):
        for workers in sizes:
            for name, game in games.items():
                found[name, workers].append(seen(game(workers), pool, rounds, f"{name}-{workers}-{number}"))
                print(name, workers, found[name, workers][-1].rounds[-1], flush=True)
    return dict(found)
