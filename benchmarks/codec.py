"""The time to encode and decode a message, and to send it through a channel, compared with other ways to pass tensors
on.

python -m benchmarks.codec [--repetitions 9] [--largest 65536]
"""

import argparse
import io
import itertools
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from statistics import median
from typing import TypeAlias

import cloudpickle
import ray
import safetensors.torch
import torch
from torch import Tensor

from antiphon.deploy.embedded import ray_session
from antiphon.transport.codec import decode, encode
from antiphon.transport.memory import aligned
from antiphon.transport.message import Edge, Header, Phase, Session
from antiphon.transport.process_group import ProcessGroupChannel
from antiphon.transport.rendezvous import Address, StoreServer
from antiphon.transport.route import Site
from antiphon.transport.shared_memory import shared_memory_domain
from benchmarks.paired import Ratio, Times, in_turn, paired_ratio, seconds_a_round
from benchmarks.report import machine, table, write_section

SIZES = [4**power for power in range(9)]
"""Sizes of messages in KiB, from 1 KiB to 64 MiB."""
SECONDS = 0.03
"""Least time of one repetition of one contestant."""
COPY = "plain copy"
SESSION = Session("0" * 16, generation=1, deadline=60.0)

Pass: TypeAlias = Callable[[], object]
"""A function that passes one message on once."""


def message(kib: int, tensors: int) -> tuple[Tensor, ...]:
    """Return random float32 values of `kib` KiB in total, as `tensors` tensors of equal size."""
    return tuple(torch.randn(kib * 256 // tensors) for _ in range(tensors))


def pieces(value: Tensor, tensors: int) -> tuple[Tensor, ...]:
    """Split a message that was passed on as one tensor into its tensors, as views."""
    return value.chunk(tensors)


def edge(number: int, kib: int, back: bool = False) -> Edge:
    """Describe an edge (a message of `kib` KiB) from the parent process to the child, or from the child if `back`."""
    ends = ("Child", "Parent") if back else ("Parent", "Child")
    return Edge(number, "there" if not back else "back", *ends, Phase.QUERY, "zeroth", torch.float32, (kib * 256,))


def edges(sizes: Sequence[int]) -> Iterator[tuple[Edge, Edge]]:
    """For each size, return an edge from the parent process to the child process, and one back."""
    return ((edge(2 * place, kib), edge(2 * place + 1, kib, True)) for place, kib in enumerate(sizes))


def copying(values: tuple[Tensor, ...]) -> Pass:
    """Return a function that copies the tensors into memory that is reused."""
    targets = [torch.empty_like(each) for each in values]
    return lambda: [target.copy_(each) for target, each in zip(targets, values, strict=True)]


def coded(values: tuple[Tensor, ...], readable: bool) -> Pass:
    """Return a function that encodes the tensors into the frame (buffer) of the last message, and decodes them.

    readable: whether the decoded tensors may be views of the frame; otherwise they are copied out of it.
    """
    one = edge(0, sum(each.nbytes for each in values) // 1024)
    value = values[0] if len(values) == 1 else values
    frame = encode(Header.of(SESSION, one, 0), value)
    memory, rounds = aligned(one.bytes), itertools.count(1)

    def once() -> tuple[Tensor, ...]:
        arrived = encode(Header.of(SESSION, one, next(rounds)), value, frame)
        return pieces(decode(arrived if readable else arrived.toreadonly(), memory=memory)[1], len(values))

    return once


def saved(values: tuple[Tensor, ...]) -> Pass:
    """Return a function that passes the tensors through torch.save and torch.load, in memory."""

    def once() -> object:
        buffer = io.BytesIO()
        torch.save(values, buffer)
        buffer.seek(0)
        return torch.load(buffer)

    return once


def others(values: tuple[Tensor, ...]) -> Mapping[str, Pass]:
    """Return all measured ways to pass a message on that need no second process, by name."""
    named = {str(place): each for place, each in enumerate(values)}
    return {
        COPY: copying(values),
        "antiphon, read in the frame": coded(values, readable=True),
        "antiphon, frame read-only": coded(values, readable=False),
        "cloudpickle": lambda: pickle.loads(cloudpickle.dumps(values)),
        "torch.save, torch.load": saved(values),
        "safetensors": lambda: safetensors.torch.load(safetensors.torch.save(named)),
        "ray.put, ray.get": lambda: ray.get(ray.put(values)),
    }


def channel(me: str, address: Address, run: str, memory: str, sizes: Sequence[int]) -> ProcessGroupChannel:
    """Open a channel for the process `me`, "Parent" or "Child". memory: the shared memory domain; empty to use gloo."""
    sites = {name: Site("127.0.0.1", memory=memory) for name in ("Parent", "Child")}
    every = [one for pair in edges(sizes) for one in pair]
    made = ProcessGroupChannel(SESSION, me, {"Parent": 0, "Child": 1}, address, every, "127.0.0.1", run, sites=sites)
    made.open()
    return made


def answer(orders: Connection, address: Address, run: str, memory: str, sizes: Sequence[int]) -> None:
    """The main function of the child process: send every message back to the parent.

    orders: each order is (index of the size, first round, number of rounds); None ends the process.
    """
    torch.set_num_threads(1)
    mine, pairs = channel("Child", address, run, memory, sizes), list(edges(sizes))
    while (order := orders.recv()) is not None:
        place, first, count = order
        there, back = pairs[place]
        for round in range(first, first + count):
            mine.send(back, round, mine.receive(there, round))
    mine.close()


class Channel:
    """A channel to a second process, which sends every message back."""

    def __init__(self, address: Address, run: str, memory: str, sizes: Sequence[int]) -> None:
        context = get_context("spawn")
        self._orders, theirs = context.Pipe()
        self._child = context.Process(target=answer, args=(theirs, address, run, memory, sizes), daemon=True)
        self._child.start()
        self._mine, self._pairs = channel("Parent", address, run, memory, sizes), list(edges(sizes))
        self._round = 0

    def half_trip(self, place: int, values: tuple[Tensor, ...], count: int) -> float:
        """Send `count` messages to the second process and back. Return the seconds of half a round trip.

        place: index of the message's size. values: the message.
        """
        there, back = self._pairs[place]
        value = values[0] if len(values) == 1 else values
        first, self._round = self._round, self._round + count
        self._orders.send((place, first, count))
        began = time.perf_counter()
        for round in range(first, first + count):
            self._mine.send(there, round, value)
            pieces(self._mine.receive(back, round), len(values))
        return (time.perf_counter() - began) / count / 2

    def close(self) -> None:
        """End the second process."""
        self._orders.send(None)
        self._mine.close()
        self._child.join(30)
        self._child.kill()


@contextmanager
def channels(sizes: Sequence[int]) -> Iterator[Mapping[str, Channel]]:
    """Open the channels that are measured, by name; close them at the end."""
    store = StoreServer("127.0.0.1")
    with ExitStack() as scope:
        kinds = {"shared memory, half a round trip": shared_memory_domain(), "gloo, half a round trip": ""}
        found = {name: Channel(store.address, name, memory, sizes) for name, memory in kinds.items()}
        for each in found.values():
            scope.callback(each.close)
        yield found
    del store


def repeated(once: Pass) -> Callable[[int], None]:
    """Return a function that passes the message on `count` times."""

    def play(count: int) -> None:
        for _ in range(count):
            once()

    return play


def enough(measure: Callable[[int], float]) -> Callable[[], float]:
    """Choose how many calls one measurement makes, from two trials. Return a function that makes one measurement.

    measure: takes the number of calls, returns the seconds of one call.
    """
    measure(1)
    return partial(measure, max(1, int(SECONDS / measure(1))))


def measured(sizes: Sequence[int], tensors: int, repetitions: int, ways: Mapping[str, Channel]) -> list[Times]:
    """Measure the seconds of every way to pass a message on, in each repetition. Returns the times of each size."""
    found = []
    for place, kib in enumerate(sizes):
        values = message(kib, tensors)
        measures = {name: partial(seconds_a_round, repeated(once)) for name, once in others(values).items()}
        measures |= {name: partial(way.half_trip, place, values) for name, way in ways.items()}
        found.append(in_turn({name: enough(measure) for name, measure in measures.items()}, repetitions))
    return found


def tables(sizes: Sequence[int], found: Sequence[Times]) -> str:
    """Return two tables with one column per size: median times, and ratios to a plain copy."""
    header = ["", *(f"{kib} KiB" if kib < 1024 else f"{kib // 1024} MiB" for kib in sizes)]

    def ratio(name: str, times: Times) -> Ratio | str:
        return "1" if name == COPY else paired_ratio(times[name], times[COPY])

    medians = [[name, *(f"{median(times[name]) * 1e6:.1f}" for times in found)] for name in found[0]]
    ratios = [[name, *(ratio(name, times) for times in found)] for name in found[0]]
    return f"Microseconds:\n\n{table(header, medians)}\n\nRatios to a plain copy:\n\n{table(header, ratios)}"


def main() -> None:
    """Measure, print the tables, and write this benchmark's section of RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="size in KiB")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    sizes = [kib for kib in SIZES if kib <= chosen.largest]
    report = (
        f"`python -m benchmarks.codec --repetitions {chosen.repetitions}`: float32 values, one thread ({machine()}). A "
        "message is encoded and decoded, or pickled and unpickled, and so on; a plain copy goes into memory that is "
        "used again. The channels pass it to another process. Medians; ratios are paired by repetition (geometric "
        "mean, 95 % interval of Student on the logarithms)."
    )
    with ray_session(num_cpus=1), channels(sizes) as ways:
        for tensors, what in ((1, "One tensor"), (8, "Eight tensors, which travel as one vector")):
            found = measured(sizes, tensors, chosen.repetitions, ways)
            report += f"\n\n### {what}\n\n{tables(sizes, found)}"
    print(report)
    write_section("Codec and channels", report)


if __name__ == "__main__":
    main()
