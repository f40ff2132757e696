"""Two faster ways to train a network on several processes: Ray's compiled graphs, and torch RPC.

The network, the loss and the data are the same as in `benchmarks.naive`.
"""

import os
import tempfile
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from signal import SIGCONT, SIGSTOP, Signals
from typing import Any, cast, final

import ray
import torch
from ray.dag import InputNode, MultiOutputNode
from torch import Tensor, multiprocessing, nn
from torch.distributed import rpc

from benchmarks.naive import NaiveData, NaiveLayer, NaiveLoss


@final
class CompiledNetwork:
    """A network on Ray: data, layers and loss, each in an actor.

    The calls of a round are compiled once into a Ray graph.
    """

    def __init__(self, modules: Sequence[nn.Module], x: Tensor, y: Tensor, rate: float, batch: int) -> None:
        remote: Any = ray.remote  # Any: its stubs do not know actor options
        nature = remote(num_cpus=0)(_Data).remote(x, y, batch)
        layers = [remote(num_cpus=0)(NaiveLayer).remote(module, rate) for module in modules]
        loss = remote(num_cpus=0)(NaiveLoss).remote()
        with InputNode() as round_number:
            played, target = nature.at.options(num_returns=2).bind(round_number)
            for layer in layers:
                played = layer.forward.bind(played)
            value, gradient = loss.both.options(num_returns=2).bind(played, target)
            for layer in reversed(layers):
                gradient = layer.backward.bind(gradient)
            graph: Any = MultiOutputNode([value, gradient])  # Any: Ray does not declare its methods
        self._graph = graph.experimental_compile()

    def play(self, rounds: int) -> float:
        """Play rounds (forward pass, backward pass and updates). Returns the last loss."""
        value = torch.nan
        for _ in range(rounds):
            value, _ = ray.get(self._graph.execute(0))
        return value

    def close(self) -> None:
        """Stop the actors."""
        self._graph.teardown(kill_actors=True)


class _Data(NaiveData):
    """Inputs and labels, for a method that takes an argument, as Ray's compiled graphs need."""

    def at(self, _: int) -> tuple[Tensor, Tensor]:
        """Return the next batch of inputs and labels. The argument is not used."""
        return self.sample()


@final
class RpcNetwork:
    """A network on torch RPC: data, layers and loss, each in a process.

    Each layer calls the next and waits for its gradient. The threads of torch RPC poll without a pause, also when there
    is nothing to do. So the processes are stopped while they play no round, for the sake of what is measured meanwhile.
    """

    def __init__(self, modules: Sequence[nn.Module], x: Tensor, y: Tensor, rate: float, batch: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        address, context = f"file://{Path(self._folder.name) / 'store'}", multiprocessing.get_context("spawn")
        names = ["Nature", *(f"Layer{index}" for index in range(len(modules))), "Loss"]
        parts: list[Any] = [NaiveData(x, y, batch), *modules, NaiveLoss()]  # Any: three kinds
        self._pipe, theirs = context.Pipe()
        self._processes = []
        for rank, (name, part) in enumerate(zip(names, parts, strict=True)):
            following = names[rank + 1] if rank + 1 < len(names) else ""
            arguments = name, rank, len(names), address, part, following, rate, None if rank else theirs
            process = context.Process(target=_serve, args=arguments, daemon=True)
            process.start()
            self._processes.append(process)
        self._pipe.recv()
        self._signal(SIGSTOP)

    def play(self, rounds: int) -> float:
        """Play rounds (forward pass, backward pass and updates). Returns the last loss."""
        self._signal(SIGCONT)
        self._pipe.send(rounds)
        loss = self._pipe.recv()
        self._signal(SIGSTOP)
        return loss

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.join()
        self._folder.cleanup()

    def _signal(self, signal: Signals) -> None:
        for process in self._processes:
            os.kill(cast(int, process.pid), signal)


_here: dict[str, Any] = {}  # Any: what this process serves: its part of the network, and the name of the next process


def _options(address: str) -> rpc.TensorPipeRpcBackendOptions:
    return rpc.TensorPipeRpcBackendOptions(init_method=address, num_worker_threads=4)


def _serve(
    name: str, rank: int, world: int, address: str, part: Any, following: str, rate: float, pipe: Connection | None
) -> None:
    torch.set_num_threads(1)
    _here.update(part=NaiveLayer(part, rate) if isinstance(part, nn.Module) else part, following=following)
    with warnings.catch_warnings(action="ignore"):  # torch's own, of an old function inside of it
        rpc.init_rpc(name, rank=rank, world_size=world, rpc_backend_options=_options(address))
    if pipe is None:
        rpc.shutdown()  # serves until the process is killed
        return
    pipe.send("ready")
    while True:
        pipe.send([_begin() for _ in range(pipe.recv())][-1])


def _begin() -> float:
    x, y = _here["part"].sample()
    value, _ = rpc.rpc_sync(_here["following"], _pass, (x, y))
    return value


def _pass(x: Tensor, y: Tensor) -> tuple[float, Tensor | None]:
    part, following = _here["part"], _here["following"]
    if not following:
        return part.both(x, y)
    value, gradient = rpc.rpc_sync(following, _pass, (part.forward(x), y))
    return value, part.backward(gradient)
