"""The GPU backend: NCCL, point to point. Written from the documentation; not yet run on hardware.

NCCL has no message tags: what one rank sends to another is received in the order of sending. A schedule gives that,
since a transfer has one position in its order. Opposite traffic of a pair goes by two communicators, one per direction,
instead of one grouped call: a group completes as a whole, so a send that runs ahead would hold back the receive that it
is grouped with.
"""

from typing import Any, final

import torch
from torch import Tensor

from antiphon.errors import TransportError
from antiphon.transport.c10d import PrefixStore, Store, Work
from antiphon.transport.link import brief, deadline, fault
from antiphon.transport.memory import ALIGNMENT
from antiphon.transport.message import Edge, Session, Tag, expect
from antiphon.transport.rendezvous import group_name

_WORDS = 4  # a tag on the device: signature, generation, round, and phase with edge, as int64


def _words(tag: Tag) -> list[int]:
    signature = int.from_bytes(bytes.fromhex(tag.signature), "little", signed=True)
    return [signature, tag.generation, tag.round, tag.phase << 32 | tag.edge]


def _tag(words: list[int]) -> Tag:
    signature = words[0].to_bytes(8, "little", signed=True).hex()
    return Tag(signature, words[1], words[2], words[3] >> 32, words[3] & 0xFFFFFFFF)


@final
class _DeviceBuffer:
    """Memory of one message on the device: the value, padding, then the tag as four int64."""

    def __init__(self, edge: Edge, device: torch.device) -> None:
        start = -(-edge.bytes // ALIGNMENT) * ALIGNMENT
        memory = torch.zeros(start + 8 * _WORDS, dtype=torch.uint8, device=device)
        self.value = memory[: edge.bytes].view(edge.dtype).view(edge.shape)
        self.words = memory[start:].view(torch.int64)
        self.wire = [memory]


@final
class NcclOutgoing:
    """The sending half of an edge. Copies and sends are ordered on the device; the host does not wait."""

    def __init__(self, link: "NcclLink", edge: Edge, rank: int) -> None:
        self._link, self._edge, self._rank = link, edge, rank
        self._group = link.group(link.rank, rank)
        self._buffer = _DeviceBuffer(edge, link.device)
        self._buffer.words.copy_(torch.tensor(_words(Tag.of(link.session, edge, 0))))
        self._work: Work | None = None
        self._round = 0

    def send(self, round: int, value: Tensor) -> int:
        """Copy and post, after the last send on the device."""
        if self._work is not None:
            self._work.wait()  # the current stream waits, not the host
        self._round = round
        self._buffer.value.copy_(value.detach())
        self._buffer.words[2:3].fill_(round)
        self._work = self._group.send(self._buffer.wire, self._rank, 0)
        return self._buffer.wire[0].numel()

    def settle(self) -> None:
        """Wait for the last send, on the host."""
        work, self._work = self._work, None
        if work is not None:
            self._link.wait(work, self._edge, self._round)


@final
class NcclIncoming:
    """The receiving half of an edge. A tag is copied to the host behind its value, and checked at the next receive."""

    def __init__(self, link: "NcclLink", edge: Edge, rank: int) -> None:
        self._link, self._edge, self._rank = link, edge, rank
        self._group = link.group(rank, link.rank)
        self._buffer = _DeviceBuffer(edge, link.device)
        self._words = torch.zeros(_WORDS, dtype=torch.int64, pin_memory=True)
        self._copied = torch.cuda.Event()
        self._due: int | None = None

    def receive(self, round: int) -> Tensor:
        """Check the last message, then wait for the next. Not posted ahead: NCCL receives in the order of posting."""
        self.settle()
        self._link.wait(self._group.recv(self._buffer.wire, self._rank, 0), self._edge, round)
        self._words.copy_(self._buffer.words, non_blocking=True)
        self._copied.record()
        self._due = round
        return self._buffer.value.detach()

    def settle(self) -> None:
        """Check the tag of the last message; it was copied long ago."""
        round, self._due = self._due, None
        if round is not None:
            self._copied.synchronize()
            expect(_tag(self._words.tolist()), self._link.session, self._edge, round)


@final
class NcclLink:
    """One rank on one device; two communicators, for messages to higher ranks and to lower ones."""

    def __init__(self, session: Session, me: str, rank: int, size: int, store: Store, device: torch.device) -> None:
        self.session, self.me, self.rank, self.device, self._store = session, me, rank, device, store
        self._ascending = self._make(PrefixStore("ascending", store), rank, size)
        self._descending = self._make(PrefixStore("descending", store), rank, size)
        self._sums: list[Any] = []  # Any: as below

    def group(self, source: int, target: int) -> Any:  # Any: ProcessGroupNCCL is missing from CPU builds of torch
        """The communicator for messages from `source` to `target`."""
        return self._ascending if source < target else self._descending

    def outgoing(self, edge: Edge, rank: int) -> NcclOutgoing:
        """The sending half of an edge."""
        return NcclOutgoing(self, edge, rank)

    def incoming(self, edge: Edge, rank: int) -> NcclIncoming:
        """The receiving half of an edge."""
        return NcclIncoming(self, edge, rank)

    def greet(self, ranks: dict[str, int]) -> None:
        """Send a byte each way to every peer, in the order of ranks, which makes the communicators of each pair."""
        byte = [torch.zeros(1, dtype=torch.uint8, device=self.device)]
        for peer, rank in sorted(ranks.items(), key=lambda item: item[1]):
            low, high = min(rank, self.rank), max(rank, self.rank)
            for source, target in ((low, high), (high, low)):
                group = self.group(source, target)
                work = group.send(byte, target, 0) if source == self.rank else group.recv(byte, source, 0)
                self._met(work, peer)

    def wait(self, work: Work, edge: Edge, round: int) -> None:
        """Wait on the host, up to the deadline."""
        try:
            work.wait(deadline(self.session))
        except RuntimeError as error:
            raise fault(self.session, self.me, edge, round, error) from error

    def close(self) -> None:
        """Abort what is under way: a communicator whose peer is gone does not end otherwise."""
        for group in (self._ascending, self._descending, *self._sums):
            group.abort()

    def replicas(self, workers: tuple[str, ...]) -> Any:  # Any: as above
        """A group of these workers, for their sums; this one is among them."""
        store = PrefixStore(f"sum/{group_name(workers)}", self._store)
        group = self._make(store, workers.index(self.me), len(workers))
        self._sums.append(group)
        return group

    def _met(self, work: Work, peer: str) -> None:
        try:
            work.wait(deadline(self.session))
        except RuntimeError as error:
            raise TransportError(
                f"worker {self.me!r} cannot connect to {peer!r} over NCCL in generation {self.session.generation}: "
                f"{brief(str(error))}. Expected one device per worker; let workers that share one use another channel."
            ) from error

    def _make(self, store: Store, rank: int, size: int) -> Any:  # Any: as above
        make: Any = getattr(torch.distributed, "ProcessGroupNCCL", None)
        if make is None:
            raise TransportError(
                f"worker {self.me!r} was to use NCCL on {self.device}; this torch was built without it. "
                "Install a CUDA build of torch, or place the worker on the CPU."
            )
        options = make.Options()
        options._timeout = deadline(self.session)
        return make(store, rank, size, options)
