"""The time of the response phase (backward pass) by the depth of a network: backpropagation and kickback, with slow
messages.

python -m benchmarks.depth [--layers 2 4 8 16] [--delay 0.005] [--rounds 20] [--repetitions 7]

Each layer, Nature and the loss is a worker. The workers are threads of this process, because two cores cannot run so
many processes at once. Each message takes `delay` seconds longer than usual. A worker that waits needs no core.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import final

import torch
from torch import Tensor

from antiphon.agents import AgentSpecification
from antiphon.coordinator.brake import Brake
from antiphon.coordinator.hosted import Hosted
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.plan.schedule import project
from antiphon.coordinator.plan.steps import Receive
from antiphon.coordinator.program import LocalProgram
from antiphon.coordinator.statistics import WorkerStatistics
from antiphon.envs import arrays
from antiphon.grammars import Grammar, chain_rule, exact
from antiphon.grammars.library import kickback
from antiphon.grammars.library.kicking import kicking_layers
from antiphon.transport.channel import Channel
from antiphon.transport.local import Exchange, LocalChannel
from antiphon.transport.memory import Value
from antiphon.transport.message import Edge, Phase, Session
from benchmarks.paired import Times, in_turn, rows_of
from benchmarks.report import machine, options, table, write_section

PICTURE = Path(__file__).with_name("depth.png")
WIDTH, BATCH = 32, 16


def grammars(layers: int) -> Mapping[str, Grammar]:
    """Make two grammars on one Query graph with `layers` layers: with the Response graph of backpropagation and of
    kickback.
    """
    x = torch.randn(BATCH, WIDTH, generator=torch.Generator().manual_seed(0))
    data = arrays(x, x[:, :1], batch=BATCH, shuffle=False)
    kicked = kickback(data, kicking_layers((WIDTH,), [WIDTH] * (layers - 1)))
    response = chain_rule(kicked.query, kicked.objective)
    return {
        "backpropagation": replace(kicked, name="backpropagation", response=response, guarantee=exact()),
        "kickback": kicked,
    }


@final
class Slow:
    """A local channel whose messages take `delay` seconds longer.

    sent: the time at which each message was sent, by (edge, round); all workers share this dict.
    """

    def __init__(self, channel: LocalChannel, delay: float, sent: dict[tuple[int, int], float]) -> None:
        self._channel, self._delay, self._sent = channel, delay, sent
        self.open, self.close, self.settle = channel.open, channel.close, channel.settle
        self.contribute, self.collect = channel.contribute, channel.collect

    def send(self, edge: Edge, round: int, value: Value) -> int:
        """Note the time, and send the value."""
        self._sent[edge.number, round] = time.perf_counter()
        return self._channel.send(edge, round, value)

    def receive(self, edge: Edge, round: int) -> Tensor:
        """Receive the value, and wait until `delay` seconds have passed since it was sent."""
        value = self._channel.receive(edge, round)
        time.sleep(max(0.0, self._sent.pop((edge.number, round)) + self._delay - time.perf_counter()))
        return value


@final
class Threads:
    """Plays a grammar in this process, with a thread for each worker."""

    def __init__(self, assignment: Assignment, delay: float) -> None:
        self._assignment, self._first = assignment, 0
        schedule, exchange, sent = assignment.schedule, Exchange(), {}
        session = Session(schedule.signature, 0, 30.0)
        self._programs = []
        for name in schedule.workers:
            channel: Channel = Slow(LocalChannel(session, name, exchange, schedule.carried_by(name)), delay, sent)
            channel.open()
            hosted = Hosted(assignment, name)
            self._programs.append(LocalProgram(assignment, name, project(schedule, name), hosted, channel))

    def response_seconds(self, rounds: int) -> float:
        """Play rounds, and return the median time of the response phase (backward pass) of a round.

        The phase lasts from the first response at the loss to the end of the last response of the round.
        """
        first, found = self._first, {}
        self._first += rounds

        def play(program: LocalProgram) -> None:
            brake = Brake()
            brake.begin(first)
            found[program.worker] = program.play(first, rounds, brake)

        threads = [threading.Thread(target=play, args=(program,)) for program in self._programs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return _median_response(self._assignment, found)


def _median_response(assignment: Assignment, found: Mapping[str, WorkerStatistics]) -> float:
    begins: dict[int, list[int]] = {}
    ends: dict[int, list[int]] = {}
    for worker, statistics in found.items():
        actions = project(assignment.schedule, worker)
        assert statistics.track is not None  # the assignment records
        marks = statistics.track.marks
        for round, position, begin, end in zip(*(marks[index::4] for index in range(4)), strict=True):
            if actions[position].phase is Phase.RESPONSE:
                ends.setdefault(round, []).append(end)
                if worker == "Loss" and not isinstance(actions[position], Receive):
                    begins.setdefault(round, []).append(begin)
    return median(max(ends[round]) - min(begins[round]) for round in ends) / 1e9


def measured(layers: Sequence[int], delay: float, rounds: int, repetitions: int) -> Mapping[int, Times]:
    """Measure backpropagation and kickback in turn, for each number of layers."""
    found, agent = {}, AgentSpecification.of("SGD", {"lr": 0.001})
    for count in layers:
        players = {
            name: Threads(assign(grammar, agent, placement=spread(grammar), record=True), delay)
            for name, grammar in grammars(count).items()
        }
        measures = {name: partial(each.response_seconds, rounds) for name, each in players.items()}
        for warm in measures.values():
            warm()
        found[count] = in_turn(measures, repetitions)
    return found


def draw(found: Mapping[int, Times], delay: float) -> None:
    """Plot the median times against the number of layers, and save the picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    for name, marker in (("backpropagation", "o"), ("kickback", "s")):
        axes.plot(list(found), [1e3 * median(times[name]) for times in found.values()], marker=marker, label=name)
    axes.set(
        xlabel="layers, a worker each", ylabel=f"response phase, ms ({1e3 * delay:g} ms a message)", ylim=(0, None)
    )
    axes.set_xticks(list(found))
    axes.legend()
    figure.savefig(PICTURE, dpi=150)


def main() -> None:
    """Measure, print the table, draw, and write this benchmark's section of RESULTS.md."""
    given = options(__doc__, layers=[2, 4, 8, 16], delay=0.005, rounds=20, repetitions=7)
    delay = given["delay"]
    torch.set_num_threads(1)
    found = measured(**given)
    rows = [[count, *row] for count, times in found.items() for row in rows_of(times, "backpropagation", scale=1e3)]
    header = ["layers", "response graph", "ms (median)", "ratio to backpropagation (95 % interval)"]
    report = table(header, rows)
    print(report)
    draw(found, delay)
    head = (
        f"`python -m benchmarks.depth --delay {delay}`: the response phase of a network of width {WIDTH}, batch "
        f"{BATCH}; each layer, Nature and the loss is a worker, a thread of one process; each message takes "
        f"{1e3 * delay:g} ms longer ({machine()})."
    )
    write_section("Response phase against depth", f"{head}\n\n{report}\n\n![response phase](depth.png)")


if __name__ == "__main__":
    main()
