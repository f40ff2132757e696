"""The time of a round of a network of four layers, each a player, compared with plain PyTorch; all in one run, in turn.

python -m benchmarks.round_latency [--width 256] [--batch 64] [--rounds 200] [--repetitions 9]
"""

import argparse
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

import torch
from torch import nn

from antiphon.agents import AgentSpecification
from antiphon.coordinator.connection import Transport
from antiphon.coordinator.executor import Executor, Played
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.plan.step_order import StepOrder
from antiphon.deploy.embedded import ray_session
from antiphon.deploy.executor import RayExecutor
from antiphon.deploy.pool import Pool
from antiphon.envs import arrays
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.library import backprop
from antiphon.grammars.library.networks import Dense
from benchmarks.naive import NaiveNetwork
from benchmarks.report import machine, table, write_section

RATE = 0.01
CLASSES = 10
PLAIN = "plain PyTorch"
SLOW = 20  # rounds per repetition of executors that need tens of milliseconds per round


@dataclass(frozen=True)
class Sizes:
    """Sizes of the network and of the measurement."""

    width: int
    batch: int
    rounds: int
    repetitions: int


def layers(sizes: Sizes) -> Mapping[str, Factory]:
    """Three layers with rectifiers and a linear one."""
    hidden = {f"Layer{index}": Factory.of(Dense, sizes.width, sizes.width) for index in (1, 2, 3)}
    return {**hidden, "Layer4": Factory.of(nn.Linear, sizes.width, CLASSES)}


def data(sizes: Sizes) -> tuple[torch.Tensor, torch.Tensor]:
    """One batch of inputs (batch, width) and labels (batch,)."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(sizes.batch, sizes.width, generator=generator)
    return x, torch.randint(CLASSES, (sizes.batch,), generator=generator)


def grammar_of(sizes: Sizes) -> Grammar:
    """The network as a grammar. Nature always answers the same batch."""
    return backprop(arrays(*data(sizes), batch=sizes.batch, shuffle=False), layers(sizes))


def plain(sizes: Sizes) -> Callable[[int], float]:
    """The same network in plain PyTorch. Returns a function that plays rounds and returns milliseconds per round."""
    network = nn.Sequential(*(factory() for factory in layers(sizes).values()))
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
    x, y = data(sizes)

    def play(rounds: int) -> float:
        began = time.perf_counter()
        for _ in range(rounds):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(x), y)
            loss.backward()
            optimizer.step()
            loss.item()
        return (time.perf_counter() - began) / rounds * 1e3

    return play


def timed(executor: Executor, last: dict[str, Played], name: str) -> Callable[[int], float]:
    """A function that plays rounds, stores the result in `last[name]`, and returns milliseconds per round."""

    def play(rounds: int) -> float:
        began = time.perf_counter()
        last[name] = executor.play(rounds)
        return (time.perf_counter() - began) / rounds * 1e3

    return play


def naive(sizes: Sizes, scope: ExitStack) -> Callable[[int], float]:
    """The naive Ray network, as a function that plays rounds and returns milliseconds per round."""
    network = NaiveNetwork([factory() for factory in layers(sizes).values()], *data(sizes), RATE)
    scope.callback(network.close)

    def play(rounds: int) -> float:
        began = time.perf_counter()
        for _ in range(rounds):
            network.play()
        return (time.perf_counter() - began) / rounds * 1e3

    return play


def contestants(sizes: Sizes, scope: ExitStack, last: dict[str, Played]) -> dict[str, Callable[[int], float]]:
    """The functions of all measured executors, by name."""
    grammar, agents = grammar_of(sizes), AgentSpecification.of("SGD", {"lr": RATE})
    apart = spread(grammar)
    pool = Pool(3 * len(apart.workers))
    scope.callback(pool.close)

    def on_ray(name: str, assignment: Assignment, transport: Transport = Transport.PROCESS_GROUP) -> None:
        run = scope.enter_context(RayExecutor(assignment, name.replace(" ", "-"), transport=transport, pool=pool))
        found[name] = timed(run, last, name)

    found = {PLAIN: plain(sizes)}
    found["inline"] = timed(scope.enter_context(InlineExecutor(assign(grammar, agents))), last, "inline")
    on_ray("ray, split order", assign(grammar, agents, placement=apart, order=StepOrder.ZERO_BUBBLE))
    on_ray("ray, plain order", assign(grammar, agents, placement=apart, order=StepOrder.GPIPE))
    on_ray("ray, object store", assign(grammar, agents, placement=apart), Transport.OBJECT_STORE)
    found["ray actors passing references"] = naive(sizes, scope)
    return found


def measure(sizes: Sizes) -> str:
    """Measure all executors in turn. Returns the report."""
    torch.set_num_threads(1)
    last: dict[str, Played] = {}
    with ray_session(num_cpus=32), ExitStack() as scope:
        players = contestants(sizes, scope, last)
        slow = {name for name, play in players.items() if play(SLOW) > 15}
        times: dict[str, list[float]] = {name: [] for name in players}
        for _ in range(sizes.repetitions):
            for name, play in players.items():
                times[name].append(play(SLOW if name in slow else sizes.rounds))
    return "\n\n".join([_ratios(times), _shares(last["ray, split order"], last["inline"])])


def _ratios(times: Mapping[str, list[float]]) -> str:
    rows = []
    for name, found in times.items():
        ratios = [mine / base for mine, base in zip(found, times[PLAIN], strict=True)]
        extent = f"{min(ratios):.2f} - {max(ratios):.2f}"
        rows.append([name, f"{median(found):.2f}", f"{median(ratios):.2f}", extent])
    return table(["executor", "ms a round (median)", "ratio to plain (median)", "range of ratios"], rows)


def _shares(on_ray: Played, inline: Played) -> str:
    """The busy time and the waiting time of each worker, as text and a table."""
    whole = max(on_ray.seconds.values()) / on_ray.rounds * 1e3
    busy = {name: (on_ray.seconds[name] - on_ray.waiting[name]) / on_ray.rounds * 1e3 for name in on_ray.seconds}
    rows = [[name, f"{each:.2f}", f"{whole - each:.2f}"] for name, each in busy.items()]
    alone = inline.seconds["inline"] / inline.rounds * 1e3
    return (
        f"Where the time goes on Ray (split order, last repetition, {whole:.2f} ms a round): all workers together "
        f"were busy for {sum(busy.values()):.2f} ms of a round, which the inline executor did in {alone:.2f} ms; the "
        "rest is the way of nine messages, one after the other, between processes that share the cores.\n\n"
        + table(["worker", "busy, ms a round", "waiting, ms a round"], rows)
    )


def main() -> None:
    """Measure, print, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("width", 256), ("batch", 64), ("rounds", 200), ("repetitions", 9)):
        parser.add_argument(f"--{name}", type=int, default=default)
    sizes = Sizes(**vars(parser.parse_args()))
    report = measure(sizes)
    head = (
        f"`python -m benchmarks.round_latency --width {sizes.width} --batch {sizes.batch} --rounds {sizes.rounds} "
        f"--repetitions {sizes.repetitions}`: backpropagation through four layers of width {sizes.width}, batch "
        f"{sizes.batch}, SGD, one thread each, a worker for each layer, Nature and the loss ({machine()})."
    )
    print(report)
    write_section(f"Latency of a round, width {sizes.width}", f"{head}\n\n{report}")


if __name__ == "__main__":
    main()
