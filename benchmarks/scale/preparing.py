"""Measurements in a single process, for up to ten thousand workers: declaring, compiling, auditing, copying."""

import gc
import pickle
import socket
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from antiphon.coordinator.audit import audit
from antiphon.coordinator.executor import Played
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import spread, together
from antiphon.coordinator.plan.schedule import Schedule, project
from antiphon.coordinator.plan.steps import Move, Transfer
from antiphon.coordinator.plan.verify import verify
from antiphon.coordinator.statistics import RoundTally, WorkerStatistics
from antiphon.grammars.library import backprop
from antiphon.transport.rendezvous import StoreServer, store_client
from benchmarks.scale.games import SGD, linear, nature

T = TypeVar("T")


@dataclass(frozen=True)
class Prepared:
    """CPU seconds and bytes to prepare a chain of workers in this process.

    audit, worker_statistics: seconds and bytes per edge, for one call.
    """

    workers: int
    declare: float
    compile: float
    size: int
    unpack: float
    audit: float
    worker_statistics: float

    @property
    def players(self) -> int:
        """The number of players: all workers except those of Nature and the loss."""
        return self.workers - 2


def cpu(act: Callable[[], T]) -> tuple[float, T]:
    """Call `act`. Returns the CPU seconds that this process needed, and the result of `act`."""
    gc.collect()
    began = time.process_time()
    result = act()
    return time.process_time() - began, result


def prepared(workers: int, rounds: int = 100) -> Prepared:
    """Measure the preparation of a chain of workers: declaring, compiling, verifying and pickling the assignment.

    Also measure unpickling and projecting it, as one worker does, and the audit of the statistics of `rounds` rounds.
    """
    layers = {f"Layer{index}": linear() for index in range(workers - 2)}
    declare, grammar = cpu(lambda: backprop(nature(), layers))

    def compiled() -> tuple[Assignment, bytes]:
        assignment = assign(grammar, SGD, placement=spread(grammar))
        verify(assignment.schedule)
        return assignment, pickle.dumps(assignment)

    compile, (assignment, data) = cpu(compiled)
    unpack, _ = cpu(lambda: project(pickle.loads(data).schedule, "Layer0"))
    sent = [pickle.dumps(each) for each in statistics(assignment.schedule, rounds)]
    audited, _ = cpu(lambda: heard(assignment.schedule, sent, rounds))
    counted = len(assignment.schedule.edges)
    return Prepared(workers, declare, compile, len(data), unpack, audited / counted, sum(map(len, sent)) / counted)


def heard(schedule: Schedule, sent: list[bytes], rounds: int) -> Played:
    """Do what the coordinator does with the workers' statistics of a call: unpack, audit, sum up."""
    statistics = [pickle.loads(each) for each in sent]
    audit(schedule, statistics, 0, rounds)
    return Played.of(statistics, rounds, rounds)


def statistics(schedule: Schedule, rounds: int) -> list[WorkerStatistics]:
    """Return the statistics of workers that did everything on schedule, to measure their audit."""
    found = {name: WorkerStatistics(name) for name in schedule.workers}
    for step in schedule.steps:
        if isinstance(step, Move):
            found[step.worker].moves[step.player] = RoundTally(range(rounds))
        elif isinstance(step, Transfer):
            number = step.edge.number
            found[step.edge.source].sent[number] = RoundTally(range(rounds))
            found[step.edge.source].payload[number] = found[step.edge.source].wire[number] = rounds * step.edge.bytes
            found[step.edge.target].received[number] = RoundTally(range(rounds))
    return list(found.values())


def held_bytes(workers: int = 502) -> float:
    """Return the bytes of memory that a worker needs per player of the run, because it holds the whole assignment."""
    grammar = backprop(nature(), {f"Layer{index}": linear() for index in range(workers - 2)})
    data = pickle.dumps(assign(grammar, SGD, placement=spread(grammar)))
    tracemalloc.start()
    assignment = pickle.loads(data)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del assignment
    return size / (workers - 2)


def ask_seconds(keys: int = 2000) -> tuple[float, float]:
    """Return the CPU seconds per request to the store, and per key when many keys are checked and fetched in one
    request.

    The thread of the store and that of the client are both counted.
    """
    store = StoreServer("127.0.0.1")
    client = store_client(store.address, 10.0)
    names = [f"worker {number}" for number in range(keys)]
    for name in names:
        client.set(name, b"x" * 300)  # pyright: ignore[reportArgumentType]  (bytes are taken too)
    request, _ = cpu(lambda: [client.check([name]) for name in names[:1000]])
    all_at_once, _ = cpu(lambda: (client.check(names), client.multi_get(names)))
    return request / 1000, all_at_once / keys


def copy_seconds(size: int = 1 << 15, count: int = 2000) -> float:
    """Return the CPU seconds per byte sent through a local socket, with one more copy on each side, as in a channel."""
    value, arrived = bytearray(size), bytearray(size)
    near, far = socket.socketpair()
    with near, far:
        began = time.process_time()
        for _ in range(count):
            near.sendall(bytes(value))
            left = memoryview(arrived)
            while left:
                left = left[far.recv_into(left) :]
            value[:] = arrived
        return (time.process_time() - began) / count / size


def play_seconds(players: int = 6, rounds: int = 300, repetitions: int = 5) -> float:
    """Return the CPU seconds per small player and round, in one process without messages. The loss is included."""
    layers = {f"Layer{index}": linear() for index in range(players)}
    grammar = backprop(nature(), layers)
    with InlineExecutor(assign(grammar, SGD, placement=together(grammar))) as executor:
        executor.play(rounds)
        return median(cpu(lambda: executor.play(rounds))[0] / rounds / players for _ in range(repetitions))
