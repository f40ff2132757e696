"""Copies between host and device: what waits for what, seen with a fence and a link that write down what happens."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from antiphon.testing.channel import SESSION, edge, same_bits, sample
from antiphon.transport.device import Glance, fence, host_memory
from antiphon.transport.local import Exchange, LocalChannel
from antiphon.transport.memory import ALIGNMENT
from antiphon.transport.message import Phase, Reduction
from antiphon.transport.staged import StagedAllReduce, StagedChannel, StagedIncoming, onto

CPU = torch.device("cpu")


class Told:
    """A fence, an incoming half and a sum, whose calls are written down in one list."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.buffers = [torch.zeros(4), torch.ones(4)]

    def record(self, stream: Any) -> None:
        self.calls.append("record")

    def synchronize(self) -> None:
        self.calls.append("wait")

    def receive(self, round: int) -> Tensor:
        self.calls.append(f"receive {round}")  # here the link posts the buffer that it handed out before
        return self.buffers[round % 2]

    def contribute(self, round: int, value: Tensor) -> int:
        self.calls.append(f"contribute {round}")
        return value.numel()

    def collect(self, round: int) -> Tensor:
        self.calls.append(f"collect {round}")
        return self.buffers[round % 2]

    def settle(self) -> None:
        self.calls.append("settle")


def test_a_buffer_is_posted_again_only_after_the_copy_out_of_it() -> None:
    told: Any = Told()
    incoming = StagedIncoming(told, edge(), CPU, told)
    first = incoming.receive(0)
    assert same_bits(first, torch.zeros(4)) and first.data_ptr() != told.buffers[0].data_ptr()
    assert same_bits(incoming.receive(1), torch.ones(4))
    incoming.settle()
    assert told.calls == ["wait", "receive 0", "record", "wait", "receive 1", "record", "settle"]


def test_a_term_is_written_only_after_the_copy_of_the_last_sum() -> None:
    told: Any = Told()
    total = StagedAllReduce(
        told, Reduction(0, "sum", ("A", "B"), Phase.RESPONSE, "first", torch.float32, (4,)), CPU, told
    )
    for round in (0, 1):
        assert total.contribute(round, torch.zeros(4)) == 4
        assert same_bits(total.collect(round), told.buffers[round])
    assert told.calls == [
        *("wait", "contribute 0", "collect 0", "record"),
        *("wait", "contribute 1", "collect 1", "record"),
    ]


def test_a_channel_of_the_host_is_staged_for_a_device_only() -> None:
    exchange, only = Exchange(), edge()
    alice, bob = (LocalChannel(SESSION, me, exchange, [only]) for me in ("Alice", "Bob"))
    assert onto(alice, CPU) is alice
    assert isinstance(onto(alice, torch.device("cuda", 0)), StagedChannel)
    source, target = StagedChannel(alice, CPU), StagedChannel(bob, CPU)
    for channel in (source, target):
        channel.open()
    source.send(only, 0, sample(only, 0))
    kept = target.receive(only, 0)
    source.send(only, 1, sample(only, 1))
    assert same_bits(target.receive(only, 1), sample(only, 1))
    assert same_bits(kept, sample(only, 0))  # a copy on the device: the channel's buffer is its own again
    for channel in (source, target):
        channel.settle()
        channel.close()


def test_on_the_cpu_nothing_is_waited_for_and_memory_is_plain() -> None:
    point: Callable[[], None] = fence(CPU).synchronize
    point()
    memory = host_memory(100, CPU)
    assert len(memory) == 100 and torch.frombuffer(memory, dtype=torch.uint8).data_ptr() % ALIGNMENT == 0
    assert list(Glance(CPU, 3)(torch.tensor([1, -2, 3]))) == [1, -2, 3]
