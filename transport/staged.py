"""Messages of a worker on a device that go by the host: every value is copied between the device and host memory."""

from typing import Any, final

import torch
from torch import Tensor

from antiphon.transport.channel import Channel
from antiphon.transport.device import Fence, fence
from antiphon.transport.link import Incoming, Link, Outgoing, Sum
from antiphon.transport.message import Edge, Reduction


@final
class StagedIncoming:
    """The receiving half of an edge: what arrives in host memory is handed out on the device.

    One tensor on the device is enough: the next copy into it is given to the same stream as the work of its readers,
    behind it. The host's buffer is another matter, since the network writes there on its own; so the copy out of it is
    waited for before the link may post that buffer again. That copy is a message old by then.
    """

    def __init__(self, incoming: Incoming, edge: Edge, device: torch.device, copied: Fence | None = None) -> None:
        self._incoming = incoming
        self._value = torch.empty(edge.shape, dtype=edge.dtype, device=device)
        self._copied = copied or fence(device)

    def receive(self, round: int) -> Tensor:
        """Wait for the message, and give the device the copy to do."""
        self._copied.wait()
        self._value.copy_(self._incoming.receive(round), non_blocking=True)
        self._copied.record()
        return self._value.detach()

    def settle(self) -> None:
        """Make the link's own checks."""
        self._incoming.settle()


@final
class StagedAllReduce:
    """A sum that is formed in host memory, handed out on the device. Its buffers come round as a message's do."""

    def __init__(self, total: Sum, reduction: Reduction, device: torch.device, copied: Fence | None = None) -> None:
        self._total = total
        self._value = torch.empty(reduction.shape, dtype=reduction.dtype, device=device)
        self._copied = copied or fence(device)

    def contribute(self, round: int, value: Tensor) -> int:
        """Copy the term to the host, and post it."""
        self._copied.wait()
        return self._total.contribute(round, value)

    def collect(self, round: int) -> Tensor:
        """Wait for the sum, and give the device the copy to do."""
        self._value.copy_(self._total.collect(round), non_blocking=True)
        self._copied.record()
        return self._value.detach()


@final
class StagedLink:
    """A link of the host, for a worker on a device.

    Its sending halves are the link's own. They copy a value into host memory, without `non_blocking`: such a copy from
    a device has ended when it returns, so what is posted next is complete, and the sender may overwrite its value.
    """

    def __init__(self, link: Link, device: torch.device) -> None:
        self._link, self._device = link, device

    def outgoing(self, edge: Edge, rank: int) -> Outgoing:
        """The sending half of an edge."""
        return self._link.outgoing(edge, rank)

    def incoming(self, edge: Edge, rank: int) -> StagedIncoming:
        """The receiving half of an edge."""
        return StagedIncoming(self._link.incoming(edge, rank), edge, self._device)

    def replicas(self, workers: tuple[str, ...]) -> Any:  # Any: as in `Link`
        """A group of these workers."""
        return self._link.replicas(workers)

    def total(self, reduction: Reduction, group: Any) -> StagedAllReduce:  # Any: as above
        """A sum over a group of `replicas`."""
        return StagedAllReduce(self._link.total(reduction, group), reduction, self._device)

    def greet(self, ranks: dict[str, int]) -> None:
        """Connect to these peers."""
        self._link.greet(ranks)

    def close(self) -> None:
        """Close the link."""
        self._link.close()


@final
class StagedChannel:
    """A channel of the host, for a worker on a device: values are copied at its door, and the copies waited for.

    For channels that make frames or copies of their own; an edge of a process group goes by `StagedIncoming` instead.
    """

    def __init__(self, channel: Channel, device: torch.device) -> None:
        self._channel, self._device = channel, device

    def open(self) -> None:
        """Open the channel."""
        self._channel.open()

    def send(self, edge: Edge, round: int, value: Tensor) -> int:
        """Copy the value to the host, and send it; see `Channel.send`."""
        return self._channel.send(edge, round, value.detach().cpu())

    def receive(self, edge: Edge, round: int) -> Tensor:
        """Receive, and copy to the device; see `Channel.receive`."""
        return self._channel.receive(edge, round).to(self._device, copy=True)

    def contribute(self, reduction: Reduction, round: int, value: Tensor) -> int:
        """Copy the term to the host, and contribute it; see `Channel.contribute`."""
        return self._channel.contribute(reduction, round, value.detach().cpu())

    def collect(self, reduction: Reduction, round: int) -> Tensor:
        """Collect, and copy to the device; see `Channel.collect`."""
        return self._channel.collect(reduction, round).to(self._device, copy=True)

    def settle(self) -> None:
        """Settle the channel."""
        self._channel.settle()

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


def onto(channel: Channel, device: torch.device) -> Channel:
    """The channel for a worker on this device: itself on the CPU."""
    return channel if device.type == "cpu" else StagedChannel(channel, device)
