"""What is measured on Ray, with as many workers as this machine holds: rounds, calls, meetings, checkpoints."""

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
    """Seconds: of a clock, and of cores, of all workers, of the coordinators, and of every process of this Ray."""

    clock: float
    workers: float
    coordinator: float
    everyone: float

    def over(self, count: int) -> "Spent":
        """Of each of so many."""
        return Spent(self.clock / count, self.workers / count, self.coordinator / count, self.everyone / count)


@dataclass(frozen=True)
class Seen:
    """One run that was opened, played and saved. calls: of `play` without a round; rounds: of each round."""

    workers: int
    meet: Spent
    calls: Spent
    rounds: tuple[Spent, ...]
    save: Spent


def family(root: int) -> list[int]:
    """The processes that descend from this one, by the kernel's table."""
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
    """What all threads of a process computed so far, to the nanosecond."""
    total = 0
    for thread in (_PROCESSES / str(process) / "task").iterdir():
        try:
            total += int((thread / "schedstat").read_text().split()[0])
        except OSError:
            continue  # it ended
    return total / 1e9


def title(process: int) -> str:
    """What a process calls itself."""
    return (_PROCESSES / str(process) / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ").strip()


def memory(process: int) -> int:
    """Bytes of a process, what it shares with others divided among them."""
    lines = (_PROCESSES / str(process) / "smaps_rollup").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("Pss:")).split()[1])


def workers_of(processes: Iterable[int], name: str = WORKER) -> list[int]:
    """Those of these processes that are actors of one class."""
    return [each for each in processes if title(each).startswith(name)]


def spent(act: Callable[[], object]) -> Spent:
    """Act, and see who computed how long."""
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
    """Open, warm up, call without a round, play, save."""
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
    """Seconds of Nature's process for each message that it sends, where it sends many at once."""
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
    """Every game with every number of workers, in turn, so many times over."""
    found: dict[tuple[str, int], list[Seen]] = defaultdict(list)
    sizes = tuple(sizes)
    for number in range(passes):
        for workers in sizes:
            for name, game in games.items():
                found[name, workers].append(seen(game(workers), pool, rounds, f"{name}-{workers}-{number}"))
                print(name, workers, found[name, workers][-1].rounds[-1], flush=True)
    return dict(found)
