"""The time of a round on three machines with a slow network between them, compared with a simple model of messages.

PYTHONPATH=.links python -m benchmarks.network [--width 256] [--batch 64] [--repetitions 5]

The machines are network namespaces of this machine (`tests/rigs/network_namespaces.py`). This needs Linux and root.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias, final

import ray
import torch

from antiphon.agents import AgentSpecification
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import Placement, Strategy, spread
from antiphon.coordinator.plan.schedule import Schedule
from antiphon.coordinator.plan.step_order import StepOrder
from antiphon.coordinator.plan.steps import Transfer
from antiphon.coordinator.traffic import between, planned
from antiphon.deploy.executor import RayExecutor
from antiphon.envs import arrays
from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import exact
from antiphon.grammars.library.kickback import kickback
from antiphon.grammars.library.kicking import kicking_layers
from antiphon.transport.codec import TAG_BYTES
from benchmarks.report import machine, table, write_section
from rigs.network_namespaces import why_not
from rigs.ray_nodes import SeveralNetworks, nodes

ROOT = Path(__file__).resolve().parents[1]
NAMES = "head", "alice", "bob"
HEADERS = 1514 / 1448
"""Bytes on the wire per byte of data, with Ethernet, IP and TCP headers (including TCP timestamps)."""


@dataclass(frozen=True)
class Network:
    """The speed of a network. delay: seconds from one machine to another.

    rate: bits per second out of each machine; 0 for no limit.
    """

    delay: float = 0.0
    rate: float = 0.0

    @property
    def label(self) -> str:
        """The network's name in tables."""
        told = [f"{self.delay * 1e3:g} ms"] if self.delay else []
        return ", ".join([*told, *([f"{self.rate / 1e6:g} Mbit/s"] if self.rate else [])]) or "as it is"


NETWORKS = (
    Network(),
    Network(delay=0.001),
    Network(delay=0.01),
    Network(rate=1e9),
    Network(rate=1e8),
    Network(rate=1e7),
)


Times: TypeAlias = Mapping[Network, Mapping[str, list[float]]]
"""Milliseconds per round for each repetition, by network and contestant."""


@dataclass(frozen=True)
class Sizes:
    """Width of the layers, and batch size."""

    width: int
    batch: int


def grammars(sizes: Sizes) -> Mapping[str, Grammar]:
    """Make two grammars on one Query graph of four layers: backpropagation and kickback."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(sizes.batch, sizes.width, generator=generator)
    data = arrays(x, x[:, :1], batch=sizes.batch, shuffle=False)
    kicked = kickback(data, kicking_layers((sizes.width,), [sizes.width] * 3))
    response = chain_rule(kicked.query, kicked.objective)
    derived = replace(kicked, name="backpropagation", response=response, guarantee=exact())
    return {"backpropagation": derived, "kickback": kicked}


def placed(grammar: Grammar) -> Placement:
    """Return a placement in which successive layers are on different machines.

    The first and fourth layers share a machine, and so do the second layer and the loss.
    """
    layers = [player.name for player in grammar.query.players]
    fuse = [("Nature", layers[0], layers[3]), (layers[1], "Loss"), (layers[2],)]
    return replace(spread(grammar, fuse=fuse), strategy=Strategy.STRICT_SPREAD)


def contestants(sizes: Sizes) -> Mapping[str, Assignment]:
    """Return all measured assignments, by name: each grammar in several orders of its steps."""
    found, agent = {}, AgentSpecification.of("SGD", {"lr": 0.001})
    for name, grammar in grammars(sizes).items():
        for order in (StepOrder.ZERO_BUBBLE, StepOrder.GPIPE):
            if (name, order) != ("kickback", StepOrder.GPIPE):  # it sends no gradients upstream to split off
                found[f"{name}, {order.value} order"] = assign(grammar, agent, placement=placed(grammar), order=order)
    return found


@final
class Model:
    """A model of the time of a round, computed from its schedule. Arithmetic takes no time.

    A message leaves when its sender reaches the step that sends it. It arrives after the delay and the time that its
    bytes need to leave the machine. Messages from one machine leave one after the other.
    """

    def __init__(self, schedule: Schedule, network: Network) -> None:
        self._schedule, self._network = schedule, network
        self._clock = dict.fromkeys(schedule.workers, 0.0)
        self._busy = dict.fromkeys(schedule.workers, 0.0)  # when the last message will have left the worker's machine

    def seconds(self, rounds: int = 20) -> float:
        """Return the modelled seconds per round when many rounds are played. Rounds overlap if no worker waits."""
        self._play(range(rounds))
        before = max(self._clock.values())
        self._play(range(rounds, 2 * rounds))
        return (max(self._clock.values()) - before) / rounds

    def _play(self, rounds: range) -> None:
        for round in rounds:
            for step in self._schedule.steps:
                if isinstance(step, Transfer) and step.when.active(round):
                    self._carry(step)

    def _carry(self, step: Transfer) -> None:
        source, target = step.workers
        bits = 8 * HEADERS * (step.edge.bytes + TAG_BYTES)
        onto_wire = bits / self._network.rate if self._network.rate else 0.0
        self._busy[source] = max(self._busy[source], self._clock[source]) + onto_wire
        self._clock[target] = max(self._clock[target], self._busy[source] + self._network.delay)


def inside(sizes: Sizes) -> None:
    """Read requests from standard input, play them, and print the milliseconds per round as JSON.

    Runs on the head machine. A request is one line with a JSON pair: the name of a contestant, and a number of rounds.
    """
    torch.set_num_threads(1)
    ray.init(log_to_driver=False)
    with ExitStack() as scope:
        runs = {
            name: scope.enter_context(RayExecutor(each, f"run-{index}"))
            for index, (name, each) in enumerate(contestants(sizes).items())
        }
        print(json.dumps("ready"), flush=True)
        for line in sys.stdin:
            name, rounds = json.loads(line)
            played = runs[name].play(rounds)
            print(json.dumps(max(played.seconds.values()) / rounds * 1e3), flush=True)


class Driver:
    """Controls a process on the head machine that plays contestants (the process runs `inside`)."""

    def __init__(self, cluster: SeveralNetworks, sizes: Sizes) -> None:
        environment = {**cluster.environment, "RAY_ADDRESS": cluster.address}
        environment["PYTHONPATH"] = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT)])
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}  # Any: as subprocess has it
        arguments = "--inside", f"--width={sizes.width}", f"--batch={sizes.batch}"
        program = sys.executable, "-P", "-m", "benchmarks.network", *arguments
        self._process = cluster.head.start(*program, environment=environment, **pipes)
        assert self._told() == "ready"

    def play(self, name: str, rounds: int) -> float:
        """Play `rounds` rounds of the contestant `name`. Returns milliseconds per round."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, rounds]) + "\n")
        self._process.stdin.flush()
        return self._told()

    def close(self) -> None:
        """End the process, which then stops its workers."""
        self._process.communicate(timeout=60)

    def _told(self) -> Any:  # Any: JSON
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


def measure(sizes: Sizes, repetitions: int) -> Times:
    """Measure milliseconds per round for each network. Contestants take turns within each repetition."""
    names = list(contestants(sizes))
    found: dict[Network, dict[str, list[float]]] = {}
    with nodes(*NAMES) as cluster:
        assert isinstance(cluster, SeveralNetworks)  # `main` has checked that they can be made
        driver = Driver(cluster, sizes)
        for network in NETWORKS:
            cluster.machines.delay(network.delay)
            for each in cluster.machines:
                each.limit(network.rate)
            rounds = {name: max(5, int(400 / driver.play(name, 5))) for name in names}
            times: dict[str, list[float]] = {name: [] for name in names}
            for _ in range(repetitions):
                for name in names:
                    times[name].append(driver.play(name, rounds[name]))
            found[network] = times
            print(network.label, {name: round(median(each), 2) for name, each in times.items()}, flush=True)
        driver.close()
    return found


def report(sizes: Sizes, found: Times) -> str:
    """Return two tables: the bytes that each contestant sends, and the measured round times with those of the model."""
    everyone = contestants(sizes)
    rows: list[Sequence[object]] = []
    for name, each in everyone.items():
        flows = between(planned(each.schedule, range(1))).values()
        hops = Model(each.schedule, Network(delay=1.0)).seconds()
        rows.append([name, sum(f.messages for f in flows), sum(f.payload for f in flows), f"{hops:g}"])
    crossing = table(["who", "messages a round", "bytes a round", "one after the other"], rows)
    rows = []
    for network, times in found.items():
        for name, time in times.items():
            added = Model(everyone[name].schedule, network).seconds() * 1e3
            model, fastest = min(found[Network()][name]) + added, min(time)
            figures = median(time), fastest, model
            rows.append([f"{network.label}: {name}", *(f"{each:.1f}" for each in figures), f"{fastest / model:.2f}"])
    slow = table(["network: who", "ms a round (median)", "fastest", "model", "fastest / model"], rows)
    return f"{crossing}\n\n{slow}"


def main() -> None:
    """Measure, print the tables, and write this benchmark's section of RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("width", 256), ("batch", 64), ("repetitions", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    sizes = Sizes(given.width, given.batch)
    if given.inside:
        inside(sizes)
        return
    if reason := why_not():
        sys.exit(f"machines cannot be made here: {reason}")
    told = report(sizes, measure(sizes, given.repetitions))
    head = (
        f"`python -m benchmarks.network --width {sizes.width} --batch {sizes.batch} "
        f"--repetitions {given.repetitions}`: four layers of width {sizes.width}, batch {sizes.batch}, SGD, one thread "
        "each, in three workers on three machines, which are network namespaces of this one: each layer lives on "
        "another than the next. Delays are one way, by a switch of our own (this kernel has no `netem`); rates are of "
        "what leaves a machine, by `tc` (`tbf`). The model: a round's time on the network as it is, and in addition "
        "what its schedule's longest chain of messages takes, one after the other. Repetitions in turn, on cores that "
        f"others used, too: the fastest ones are compared ({machine()})."
    )
    print(told)
    write_section("Rounds over a slow network", f"{head}\n\n{told}")


if __name__ == "__main__":
    main()
