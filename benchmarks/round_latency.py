"""The time of a round of a network of four layers, each a player, compared with plain PyTorch. All are measured in one
run, in turn.

python -m benchmarks.round_latency [--width 256] [--batch 64] [--rounds 200] [--repetitions 9]
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

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
from benchmarks.paired import in_turn, rows_of, seconds_a_round
from benchmarks.peers import CompiledNetwork, RpcNetwork
from benchmarks.plain import Play, plain_network
from benchmarks.report import machine, options, table, write_section

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
    """Return the layers of the network, by name: three layers with rectifiers, and a linear last layer."""
    hidden = {f"Layer{index}": Factory.of(Dense, sizes.width, sizes.width) for index in (1, 2, 3)}
    return {**hidden, "Layer4": Factory.of(nn.Linear, sizes.width, CLASSES)}


def data(sizes: Sizes) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the data of eight batches: inputs (rows, width) and labels (rows,). Every round plays the next batch."""
    generator, rows = torch.Generator().manual_seed(0), 8 * sizes.batch
    x = torch.randn(rows, sizes.width, generator=generator)
    return x, torch.randint(CLASSES, (rows,), generator=generator)


def grammar_of(sizes: Sizes) -> Grammar:
    """Make the network's grammar. Nature answers one batch after the other."""
    return backprop(arrays(*data(sizes), batch=sizes.batch, shuffle=False), layers(sizes))


def peer(kind: type[NaiveNetwork | CompiledNetwork | RpcNetwork], sizes: Sizes, scope: ExitStack) -> Play:
    """Start the same network on several processes in another way (`kind`). Return the function that plays rounds."""
    network = kind([factory() for factory in layers(sizes).values()], *data(sizes), RATE, sizes.batch)
    scope.callback(network.close)
    return network.play


def contestants(sizes: Sizes, scope: ExitStack, last: dict[str, Played]) -> dict[str, Play]:
    """Return all measured executors, by name, as functions that play rounds.

    `last` receives the last result of our executors.
    """
    grammar, agents = grammar_of(sizes), AgentSpecification.of("SGD", {"lr": RATE})
    apart = spread(grammar)
    pool = Pool(3 * len(apart.workers))
    scope.callback(pool.close)

    def add(name: str, executor: Executor) -> None:
        scope.enter_context(executor)
        found[name] = lambda rounds: last.__setitem__(name, executor.play(rounds))

    def on_ray(name: str, assignment: Assignment, transport: Transport = Transport.PROCESS_GROUP) -> None:
        add(name, RayExecutor(assignment, name.replace(" ", "-"), transport=transport, pool=pool))

    found = {PLAIN: plain_network([factory() for factory in layers(sizes).values()], *data(sizes), RATE, sizes.batch)}
    add("inline", InlineExecutor(assign(grammar, agents)))
    on_ray("ray, zero-bubble", assign(grammar, agents, placement=apart, order=StepOrder.ZERO_BUBBLE))
    on_ray("ray, gpipe", assign(grammar, agents, placement=apart, order=StepOrder.GPIPE))
    on_ray("ray, object store", assign(grammar, agents, placement=apart), Transport.OBJECT_STORE)
    found["torch RPC"] = peer(RpcNetwork, sizes, scope)
    found["Ray compiled graph"] = peer(CompiledNetwork, sizes, scope)
    found["Ray actors passing references"] = peer(NaiveNetwork, sizes, scope)
    return found


def measure(sizes: Sizes) -> str:
    """Measure all executors in turn, and return the report as text."""
    torch.set_num_threads(1)
    last: dict[str, Played] = {}
    with ray_session(num_cpus=32), ExitStack() as scope:
        players = contestants(sizes, scope, last)
        slow = {name for name, play in players.items() if seconds_a_round(play, SLOW) > 0.015}
        measures = {
            name: partial(seconds_a_round, play, SLOW if name in slow else sizes.rounds)
            for name, play in players.items()
        }
        times = in_turn(measures, sizes.repetitions)
    ratios = table(
        ["executor", "ms a round (median)", "ratio to plain (95 % interval)"], rows_of(times, PLAIN, scale=1e3)
    )
    return "\n\n".join([ratios, _shares(last["ray, zero-bubble"], last["inline"])])


def _shares(on_ray: Played, inline: Played) -> str:
    """Return the busy time and the waiting time of each worker, as text and a table."""
    whole = max(on_ray.seconds.values()) / on_ray.rounds * 1e3
    busy = {name: (on_ray.seconds[name] - on_ray.waiting[name]) / on_ray.rounds * 1e3 for name in on_ray.seconds}
    rows = [[name, f"{each:.2f}", f"{whole - each:.2f}"] for name, each in busy.items()]
    alone = inline.seconds["inline"] / inline.rounds * 1e3
    return (
        f"Where the time goes on Ray (zero-bubble, last repetition, {whole:.2f} ms a round): all workers together "
        f"were busy for {sum(busy.values()):.2f} ms of a round, which the inline executor did in {alone:.2f} ms; the "
        "rest is the way of nine messages, one after the other, between processes that share the cores.\n\n"
        + table(["worker", "busy, ms a round", "waiting, ms a round"], rows)
    )


def main() -> None:
    """Measure, print the report, and write this benchmark's section of RESULTS.md."""
    sizes = Sizes(**options(__doc__, width=256, batch=64, rounds=200, repetitions=9))
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
