"""Runs the network of antiphon's pipelines with torch.distributed.pipelining, to compare the times.

Each worker is a process.
"""

import tempfile
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias, final

import torch
import torch.distributed as dist
from torch import Tensor, multiprocessing, nn
from torch.distributed import pipelining
from torch.nn.functional import cross_entropy

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@final
class TorchPipeline:
    """Processes that train the stages of a pipeline with torch.distributed.pipelining, always on the same batch.

    modules: one per stage; stage i lives in process i modulo `workers`. schedule: name of a class of
    torch.distributed.pipelining, for one stage per process (Schedule1F1B) or several (ScheduleInterleaved1F1B).
    loss: of the last stage's output and y, a mean over the batch.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module],
        x: Tensor,
        y: Tensor,
        rate: float,
        workers: int,
        schedule: str,
        microbatches: int,
        loss: Loss = cross_entropy,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory()
        store, context = str(Path(self._folder.name) / "store"), multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for rank in range(workers):
            ours, theirs = context.Pipe()
            arguments = theirs, rank, workers, store, list(modules), x, y, rate, schedule, microbatches, loss
            process = context.Process(target=_serve, args=arguments, daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)
        for pipe in self._pipes:
            pipe.recv()

    def play(self, rounds: int) -> float:
        """Play `rounds` rounds. Returns the loss of the last round, the mean over the micro-batches."""
        for pipe in self._pipes:
            pipe.send(rounds)
        return max(pipe.recv() for pipe in self._pipes)

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.send(0)
        for process in self._processes:
            process.join()
        self._folder.cleanup()


def _serve(
    pipe: Connection,
    rank: int,
    workers: int,
    store: str,
    modules: Sequence[nn.Module],
    x: Tensor,
    y: Tensor,
    rate: float,
    schedule: str,
    microbatches: int,
    loss: Loss,
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=workers)
    own = range(rank, len(modules), workers)
    device = torch.device("cpu")
    stages = [pipelining.PipelineStage(modules[index], index, len(modules), device) for index in own]
    kind = getattr(pipelining, schedule)
    one = len(modules) == workers
    play = kind(stages[0] if one else stages, n_microbatches=microbatches, loss_fn=loss)
    optimizer = torch.optim.SGD([each for index in own for each in modules[index].parameters()], lr=rate)
    inputs = (x,) if rank == 0 else ()
    is_last = own[-1] == len(modules) - 1
    pipe.send("ready")
    while rounds := pipe.recv():
        losses: list[Tensor] = []
        for _ in range(rounds):
            optimizer.zero_grad()
            losses = []
            targets = {"target": y, "losses": losses} if is_last else {}
            play.step(*inputs, return_outputs=False, **targets)
            optimizer.step()
        pipe.send(float(torch.stack(losses).detach().mean()) if losses else float("-inf"))
    dist.destroy_process_group()
