"""Rounds of a pipeline in each order of its steps, compared with torch.distributed.pipelining. All are measured in one
run, in turn.

python -m benchmarks.pipelines [--width 1024] [--batch 256] [--workers 2] [--microbatches 1 2 4 8] [--repetitions 7]
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from antiphon.agents import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.plan.step_order import StepOrder
from antiphon.deploy.embedded import ray_session
from antiphon.deploy.executor import RayExecutor
from antiphon.deploy.pool import Pool
from antiphon.envs import arrays
from antiphon.grammars import Factory
from antiphon.grammars.library import backprop
from antiphon.grammars.library.networks import Dense
from benchmarks.paired import Times, in_turn, rows_of, seconds_a_round
from benchmarks.plain import Play, plain_network
from benchmarks.report import machine, options, table, write_section
from benchmarks.torch_pipelines import TorchPipeline

RATE = 0.01
CLASSES = 10
PLAIN = "plain PyTorch, one process, one thread"
NAMESAKES = {
    StepOrder.GPIPE: "ScheduleGPipe",
    StepOrder.ONE_F_ONE_B: "Schedule1F1B",
    StepOrder.ZERO_BUBBLE: "ScheduleInterleavedZeroBubble",
}
INTERLEAVED = "ScheduleInterleaved1F1B"


@dataclass(frozen=True)
class Sizes:
    """Sizes of the network and of the measurement.

    layers: number of layers, a multiple of twice the number of workers.
    """

    width: int
    batch: int
    workers: int
    layers: int
    repetitions: int


def layer_factories(sizes: Sizes) -> list[Factory]:
    """Return factories of the network's layers: layers with rectifiers, and a linear last layer."""
    hidden = [Factory.of(Dense, sizes.width, sizes.width) for _ in range(sizes.layers - 1)]
    return [*hidden, Factory.of(nn.Linear, sizes.width, CLASSES)]


def data(sizes: Sizes) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one batch: inputs (batch, width) and labels (batch,)."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(sizes.batch, sizes.width, generator=generator)
    return x, torch.randint(CLASSES, (sizes.batch,), generator=generator)


def ours(
    sizes: Sizes,
    order: StepOrder,
    microbatches: int,
    parts: int,
    pool: Pool,
    scope: ExitStack,
    skip: bool = False,
    staleness: int = 0,
) -> Play:
    """Start the pipeline on Ray with a player for each layer. Return the function that plays rounds.

    order: order of the steps. parts: number of pieces of the network on each worker. skip: whether there is a skip
    connection. staleness: age of the parameters in queries, in rounds.
    """
    names = [f"Layer{index}" for index in range(sizes.layers)]
    layers = dict(zip(names, layer_factories(sizes), strict=True))
    nature = arrays(*data(sizes), batch=sizes.batch, shuffle=False)
    grammar = backprop(nature, layers, skips={names[2]: names[0]} if skip else None)
    each = sizes.layers // (parts * sizes.workers)
    worker_of = {name: index // each % sizes.workers for index, name in enumerate(names)}
    worker_of |= {"Nature": 0, "Loss": sizes.workers - 1}
    groups = [[name for name in worker_of if worker_of[name] == worker] for worker in range(sizes.workers)]
    placement = spread(grammar, fuse=groups)
    agent = AgentSpecification.of("SGD", {"lr": RATE})
    how = {"order": order, "microbatches": microbatches, "staleness": staleness}
    assignment = assign(grammar, agent, placement=placement, **how)
    name = f"{order}-{parts}-{microbatches}-{skip}-{staleness}"
    return scope.enter_context(RayExecutor(assignment, name, pool=pool)).play


def inline(sizes: Sizes, scope: ExitStack) -> Play:
    """Return a function that plays rounds of the network in one process, with our executor `inline`.

    It shows the effect of our faster matrix products alone, without a pipeline.
    """
    layers = {f"Layer{index}": factory for index, factory in enumerate(layer_factories(sizes))}
    grammar = backprop(arrays(*data(sizes), batch=sizes.batch, shuffle=False), layers)
    return scope.enter_context(InlineExecutor(assign(grammar, AgentSpecification.of("SGD", {"lr": RATE})))).play


def theirs(sizes: Sizes, schedule: str, microbatches: int, parts: int, scope: ExitStack) -> Play:
    """Start the same layers as stages of torch.distributed.pipelining. Return the function that plays rounds."""
    modules = [factory() for factory in layer_factories(sizes)]
    each = sizes.layers // (parts * sizes.workers)
    stages = [nn.Sequential(*modules[index : index + each]) for index in range(0, sizes.layers, each)]
    pipeline = TorchPipeline(stages, *data(sizes), RATE, sizes.workers, schedule, microbatches)
    scope.callback(pipeline.close)
    return pipeline.play


def measured(sizes: Sizes, microbatches: int, pool: Pool) -> Times:
    """Measure all pipelines and plain PyTorch in turn, with one number of micro-batches."""
    with ExitStack() as scope:
        plain = plain_network([factory() for factory in layer_factories(sizes)], *data(sizes), RATE)
        found: dict[str, Play] = {PLAIN: plain, "antiphon, inline, one thread": inline(sizes, scope)}
        for order, schedule in NAMESAKES.items():
            found[f"antiphon, {order}"] = ours(sizes, order, microbatches, 1, pool, scope)
            parts = 2 if "Interleaved" in schedule else 1
            if microbatches % sizes.workers == 0 or order is StepOrder.GPIPE:  # torch's others take no fewer
                found[schedule] = theirs(sizes, schedule, microbatches, parts, scope)
        found["antiphon, interleaved"] = ours(sizes, StepOrder.ONE_F_ONE_B, microbatches, 2, pool, scope)
        found["antiphon, interleaved zero-bubble"] = ours(sizes, StepOrder.ZERO_BUBBLE, microbatches, 2, pool, scope)
        if microbatches % sizes.workers == 0:
            found[INTERLEAVED] = theirs(sizes, INTERLEAVED, microbatches, 2, scope)
        found["antiphon, 1f1b, a skip"] = ours(sizes, StepOrder.ONE_F_ONE_B, microbatches, 1, pool, scope, skip=True)
        for age in (1, 2):
            name = f"antiphon, zero-bubble, staleness {age}"
            found[name] = ours(sizes, StepOrder.ZERO_BUBBLE, microbatches, 1, pool, scope, staleness=age)
        rounds = max(2, round(0.5 / seconds_a_round(plain, 3)))
        measures: Mapping[str, Callable[[], float]] = {
            name: partial(seconds_a_round, play, rounds) for name, play in found.items()
        }
        for warm in measures.values():
            warm()
        return in_turn(measures, sizes.repetitions)


def main() -> None:
    """Measure, print the tables, and write this benchmark's section of RESULTS.md."""
    numbers = {"width": 1024, "batch": 256, "workers": 2, "layers": 8, "repetitions": 7}
    given = options(__doc__, **numbers, microbatches=[1, 2, 4, 8])
    counts, sizes = given.pop("microbatches"), Sizes(**given)
    torch.set_num_threads(1)
    reports = []
    with ray_session(num_cpus=64):
        pool = Pool(sizes.workers * 8)
        try:
            for count in counts:
                rows = rows_of(measured(sizes, count, pool), PLAIN, scale=1e3)
                header = ["order", "ms a round (median)", "ratio to plain (95 % interval)"]
                reports.append(f"{count} micro-batch{'es' if count > 1 else ''}:\n\n{table(header, rows)}")
                print(reports[-1], flush=True)
        finally:
            pool.close()
    head = (
        f"`python -m benchmarks.pipelines --width {sizes.width} --batch {sizes.batch} --workers {sizes.workers}`: "
        f"{sizes.layers} layers of width {sizes.width}, batch {sizes.batch}, SGD, a worker and a thread for each "
        f"{sizes.layers // sizes.workers} of them ({machine()}). Our products of large float32 matrices go through "
        "oneDNN, torch's through MKL (docs/rounds.md); the inline row shows how much of the ratios that is."
    )
    title = f"Pipelines of {sizes.workers} workers, width {sizes.width}"
    write_section(title, "\n\n".join([head, *reports]))


if __name__ == "__main__":
    main()
