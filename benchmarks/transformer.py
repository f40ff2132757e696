"""Tokens per second of a transformer in each order, compared with plain PyTorch and torch.distributed.pipelining.

python -m benchmarks.transformer [--blocks 4] [--width 256] [--context 128] [--workers 2 4] [--microbatches 1 2 4 8]
"""

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from torch import Tensor, nn

from antiphon.agents import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.plan.step_order import StepOrder
from antiphon.deploy.embedded import ray_session
from antiphon.deploy.executor import RayExecutor
from antiphon.deploy.pool import Pool
from antiphon.envs import arrays
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.library import backprop
from antiphon.grammars.library.transformer import Block, TiedEmbedding, next_symbol_loss, transformer
from benchmarks.paired import Times, in_turn, paired_ratio, seconds_a_round
from benchmarks.plain import Play, plain_rounds
from benchmarks.report import machine, options, table, write_section
from benchmarks.torch_pipelines import TorchPipeline

RATE = 0.01
SYMBOLS = 256
PLAIN = "plain PyTorch, one thread"
AGENT = AgentSpecification.of("SGD", {"lr": RATE})


@dataclass(frozen=True)
class Sizes:
    """Sizes of the network and of the measurement. blocks: a multiple of each number of workers."""

    blocks: int
    width: int
    heads: int
    context: int
    batch: int
    repetitions: int


def data(sizes: Sizes) -> tuple[Tensor, Tensor]:
    """One batch of random symbols and of those that follow, (batch, context) each."""
    generator = torch.Generator().manual_seed(0)
    windows = torch.randint(SYMBOLS, (sizes.batch, sizes.context + 1), generator=generator)
    return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()


def block_names(sizes: Sizes) -> list[str]:
    """The names of the blocks, in order."""
    return [f"Block{index}" for index in range(1, sizes.blocks + 1)]


def tied(sizes: Sizes) -> Grammar:
    """The grammar of the library. Nature always answers the same batch."""
    nature = arrays(*data(sizes), batch=sizes.batch, shuffle=False)
    return transformer(nature, sizes.blocks, sizes.width, sizes.heads, sizes.context, SYMBOLS)


def untied(sizes: Sizes) -> Grammar:
    """The same network with one matrix for the input and another for the output: a chain of players."""
    ends = Factory.of(TiedEmbedding, SYMBOLS, sizes.width, sizes.context)
    blocks = dict.fromkeys(block_names(sizes), Factory.of(Block, sizes.width, sizes.heads))
    nature = arrays(*data(sizes), batch=sizes.batch, shuffle=False)
    return backprop(nature, {"First": ends, **blocks, "Last": ends}, loss=Factory(next_symbol_loss))


def ours(
    grammar: Grammar, sizes: Sizes, workers: int, order: StepOrder, microbatches: int, pool: Pool, scope: ExitStack
) -> Play:
    """Workers with equally many blocks in a row. The first one has the embedding, Nature and the loss; in a grammar of
    two matrices, the last one has the second matrix and the loss."""
    names, each = block_names(sizes), sizes.blocks // workers
    groups = [names[index * each : (index + 1) * each] for index in range(workers)]
    players = {player.name for player in grammar.query.players}
    groups[0] += ["Nature", *({"Embedding", "First"} & players)]
    groups[-1 if "Last" in players else 0] += ["Loss", *({"Last"} & players)]
    assignment = assign(grammar, AGENT, placement=spread(grammar, fuse=groups), order=order, microbatches=microbatches)
    run = f"{grammar.name}-{workers}-{order}-{microbatches}"
    return scope.enter_context(RayExecutor(assignment, run, pool=pool)).play


def plain(sizes: Sizes, threads: int) -> Play:
    """The same modules in plain PyTorch, with one matrix for both ends, in one process."""
    embedding = TiedEmbedding(SYMBOLS, sizes.width, sizes.context)
    blocks = nn.Sequential(*(Block(sizes.width, sizes.heads) for _ in range(sizes.blocks)))
    x, y = data(sizes)
    parameters = [*embedding.parameters(), *blocks.parameters()]
    play = plain_rounds(lambda: next_symbol_loss(embedding(blocks(embedding(x))), y), parameters, RATE)

    def played(rounds: int) -> None:
        torch.set_num_threads(threads)
        play(rounds)
        torch.set_num_threads(1)

    return played


def theirs(sizes: Sizes, schedule: str, microbatches: int, workers: int, scope: ExitStack) -> Play:
    """The network with two matrices as stages of torch.distributed.pipelining, one for each worker."""
    modules: list[nn.Module] = [Block(sizes.width, sizes.heads) for _ in range(sizes.blocks)]
    each = sizes.blocks // workers
    stages = [modules[index : index + each] for index in range(0, sizes.blocks, each)]
    stages[0].insert(0, TiedEmbedding(SYMBOLS, sizes.width, sizes.context))
    stages[-1].append(TiedEmbedding(SYMBOLS, sizes.width, sizes.context))
    whole = [nn.Sequential(*stage) for stage in stages]
    pipeline = TorchPipeline(whole, *data(sizes), RATE, workers, schedule, microbatches, next_symbol_loss)
    scope.callback(pipeline.close)
    return pipeline.play


def contestants(sizes: Sizes, workers: list[int], microbatches: int, pool: Pool, scope: ExitStack) -> dict[str, Play]:
    """All contestants with one number of micro-batches, by name."""
    inline = InlineExecutor(assign(tied(sizes), AGENT, microbatches=microbatches))
    found: dict[str, Play] = {
        PLAIN: plain(sizes, 1),
        "plain PyTorch, two threads": plain(sizes, 2),
        "antiphon, 1 worker (inline)": scope.enter_context(inline).play,
    }
    for count in workers:
        for order in StepOrder:
            name = f"antiphon, {count} workers, {order}"
            found[name] = ours(tied(sizes), sizes, count, order, microbatches, pool, scope)
    two = min(workers)
    for order in StepOrder:
        name = f"antiphon, {two} workers, {order}, two matrices"
        found[name] = ours(untied(sizes), sizes, two, order, microbatches, pool, scope)
    for schedule in ("ScheduleGPipe", "Schedule1F1B"):
        if schedule == "ScheduleGPipe" or microbatches >= two:
            name = f"{schedule}, {two} workers, two matrices"
            found[name] = theirs(sizes, schedule, microbatches, two, scope)
    return found


def measured(sizes: Sizes, workers: list[int], microbatches: int, pool: Pool) -> Times:
    """Measure all contestants with one number of micro-batches, in turn."""
    with ExitStack() as scope:
        found = contestants(sizes, workers, microbatches, pool, scope)
        for play in found.values():
            play(1)  # threads, buffers and caches are made here
        rounds = max(1, round(0.5 / seconds_a_round(found[PLAIN], 1)))
        return in_turn(
            {name: partial(seconds_a_round, play, rounds) for name, play in found.items()}, sizes.repetitions
        )


def rows(sizes: Sizes, times: Times) -> list[list[str]]:
    """A row per contestant: its tokens per second (median), and their ratio to plain PyTorch's."""
    tokens = sizes.batch * sizes.context
    return [
        [name, f"{tokens / median(each):.0f}", "1" if name == PLAIN else str(paired_ratio(times[PLAIN], each))]
        for name, each in times.items()
    ]


def main() -> None:
    """Measure, print, and write the section."""
    numbers = {"blocks": 4, "width": 256, "heads": 4, "context": 128, "batch": 16, "repetitions": 7}
    given = options(__doc__, **numbers, workers=[2, 4], microbatches=[1, 2, 4, 8])
    workers, counts = given.pop("workers"), given.pop("microbatches")
    sizes, reports = Sizes(**given), []
    torch.set_num_threads(1)
    with ray_session(num_cpus=64):
        pool = Pool(len(StepOrder) * sum(workers) + min(workers))
        try:
            for count in counts:
                found = rows(sizes, measured(sizes, workers, count, pool))
                header = ["contestant", "tokens/s (median)", "ratio to plain (95 % interval)"]
                reports.append(f"{count} micro-batch{'es' if count > 1 else ''}:\n\n{table(header, found)}")
                print(reports[-1], flush=True)
        finally:
            pool.close()
    head = (
        f"`python -m benchmarks.transformer`: {sizes.blocks} blocks of width {sizes.width}, context {sizes.context}, "
        f"batch {sizes.batch}, {SYMBOLS} symbols, SGD; one thread for each worker ({machine()}). A worker has equally "
        "many blocks in a row; the first one also has the embedding and the loss. torch.distributed.pipelining needs a "
        "module for each stage, and no stage may be asked twice: it plays the network with two matrices, a chain, and "
        "so does one contestant of ours. More workers than cores share the cores."
    )
    write_section("Transformer, tokens per second", "\n\n".join([head, *reports]))


if __name__ == "__main__":
    main()
