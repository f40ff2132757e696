"""Sends messages of a worker on a GPU through the host: each value is copied between device and host memory."""

from typing import final

import torch
from torch import Tensor

from antiphon.transport.channel import Channel
from antiphon.transport.device import Fence, fence, queue_of
from antiphon.transport.link import Incoming, ReplicaSum
from antiphon.transport.memory import Value, vectors
from antiphon.transport.message import Edge, Reduction


@final
class StagedIncoming:
    """Receives the messages of one edge in host memory, and copies each value to the device.

    One tensor on the device is enough: the next copy into it runs on the same stream as the readers' work, after that
    work. The host buffer needs a wait, because the network writes to it independently. So `receive` waits for the last
    copy before the link may use that buffer again. That copy is then one message old, and usually done.
    """

    def __init__(self, incoming: Incoming, edge: Edge, device: torch.device, copied: Fence | None = None) -> None:
        self._incoming = incoming
        self._value = torch.empty(edge.shape, dtype=edge.dtype, device=device)
        self._copied = copied or fence(device)

    def receive(self, round: int) -> Tensor:
        """Wait for the message, start to copy its value to the device, and return the tensor on the device."""
        self._copied.synchronize()
        self._value.copy_(self._incoming.receive(round), non_blocking=True)
        self._copied.record(queue_of(self._value.device))
        return self._value.detach()

    def settle(self) -> None:
        """Check the tags of received messages that the backend has not yet checked."""
        self._incoming.settle()


@final
class StagedAllReduce:
    """Takes part in an all-reduce in host memory, and copies the sum to the device.

    Before each contribution it waits until the last copy to the device is done, because the host buffer is used again.
    """

    def __init__(
        self, total: ReplicaSum, reduction: Reduction, device: torch.device, copied: Fence | None = None
    ) -> None:
        self._total = total
        self._value = torch.empty(reduction.shape, dtype=reduction.dtype, device=device)
        self._copied = copied or fence(device)

    def contribute(self, round: int, value: Tensor) -> int:
        """Copy this worker's term of an all-reduce to host memory, and start to send it. Returns the bytes to send."""
        self._copied.synchronize()
        return self._total.contribute(round, value)

    def collect(self, round: int) -> Tensor:
        """Wait for the sum, start to copy it to the device, and return the tensor on the device."""
        self._value.copy_(self._total.collect(round), non_blocking=True)
        self._copied.record(queue_of(self._value.device))
        return self._value.detach()


@final
class StagedChannel:
    """Lets a worker on a GPU use a channel in host memory.

    Each call copies its value between device and host, and waits until the copy is done. This class wraps channels that
    make their own frames or copies. A process-group channel uses `StagedIncoming` instead.
    """

    def __init__(self, channel: Channel, device: torch.device) -> None:
        self._channel, self._device = channel, device

    def open(self) -> None:
        """Open the wrapped channel."""
        self._channel.open()

    def send(self, edge: Edge, round: int, value: Value) -> int:
        """Copy the value to the host and send it over the wrapped channel. Returns the bytes sent."""
        host = value.detach().cpu() if isinstance(value, Tensor) else tuple(each.cpu() for each in vectors(value))
        return self._channel.send(edge, round, host)

    def receive(self, edge: Edge, round: int) -> Tensor:
        """Receive the value of this round over the wrapped channel, and return a copy on the device."""
        return self._channel.receive(edge, round).to(self._device, copy=True)

    def contribute(self, reduction: Reduction, round: int, value: Tensor) -> int:
        """Copy this worker's term of an all-reduce to the host, and send it over the wrapped channel.

        Returns the bytes sent.
        """
        return self._channel.contribute(reduction, round, value.detach().cpu())

    def collect(self, reduction: Reduction, round: int) -> Tensor:
        """Wait for the sum of an all-reduce, and return a copy on the device."""
        return self._channel.collect(reduction, round).to(self._device, copy=True)

    def settle(self) -> None:
        """Wait until all sent messages can arrive even if this worker does nothing more."""
        self._channel.settle()

    def close(self) -> None:
        """Close the wrapped channel."""
        self._channel.close()


def onto(channel: Channel, device: torch.device) -> Channel:
    """Return `channel` for a worker on `device`: unchanged for the CPU, else wrapped in a `StagedChannel`."""
    return channel if device.type == "cpu" else StagedChannel(channel, device)
