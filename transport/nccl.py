"""The backend NCCL, for messages between GPUs. Tests use a stand-in for its groups; it has not run on hardware.

NCCL has no message tags: a rank receives messages from another rank in the order of sending. A schedule guarantees that
order, since each transfer has one position in it. The two directions of a pair use two communicators, not one grouped
call. A group completes as a whole, so a send that runs ahead would delay the receive in its group.

This module relies on the following in torch's ProcessGroupNCCL (2.13, `pointToPoint`, `WorkNCCL`), read in its source:

- A single send or receive uses a communicator of its two ranks, made at their first message (`getKeySendRecv`). The
  exception is a group that was bound to a device when it was made (`eagerInit_`), which only
  `init_process_group(device_id=...)` does. So ranks that share a device may be in one group if no message goes
  between them. NCCL refuses a communicator with two ranks on one device, and no communicator has both of these ranks.
- The NCCL stream first waits for the current stream. So a copy into a buffer, queued before a send, is done before
  the send. Readers of a buffer, queued before a receive, are done before the buffer is written.
- `wait` without a timeout makes the current stream wait, but not the host. With a timeout, it sleeps one millisecond
  at a time. So in this module the host calls `is_completed` itself.
- A watchdog ends the process if an operation outlasts the group's own timeout. In this module each wait ends at the
  session's deadline, with an error that names the workers. The group's timeout is longer and should never be reached.
"""

import struct
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, final

import torch
from torch import Tensor

from antiphon.errors import TransportError
from antiphon.transport.all_reduce import AllReduce
from antiphon.transport.c10d import PrefixStore, Store, Work
from antiphon.transport.codec import TAG_BYTES, pack_tag
from antiphon.transport.device import Glance
from antiphon.transport.link import Expected, brief, deadline, fault
from antiphon.transport.memory import ALIGNMENT, Value, write
from antiphon.transport.message import Edge, Reduction, Session, Tag
from antiphon.transport.rendezvous import group_name

MakeGroup: TypeAlias = Callable[[Store, int, int, Session], Any]
"""`make(store, rank, size, session)` returns a group with `send`, `recv`, `abort`.

Any: CPU builds of torch lack the class of NCCL groups.
"""

_WORDS = TAG_BYTES // 8  # a tag on the device, as int64; the third of them is the round
_PATIENCE = 10  # torch's own timeout, in deadlines; at its end torch ends the process
_EAGER = 0.002  # seconds of polling without a pause
_PAUSE = 0.0001


@final
class DeviceBuffer:
    """Device memory of one message: the value, padding, then the message's tag as int64."""

    def __init__(self, edge: Edge, device: torch.device) -> None:
        start = -(-edge.bytes // ALIGNMENT) * ALIGNMENT
        # Device allocators align to 256 bytes or more; the host's does not.
        memory = torch.zeros(start + 8 * _WORDS + ALIGNMENT, dtype=torch.uint8, device=device)
        memory = memory[-memory.data_ptr() % ALIGNMENT :][: start + 8 * _WORDS]
        self.value = memory[: edge.bytes].view(edge.dtype).view(edge.shape)
        self.words = memory[start:].view(torch.int64)
        self.wire = [memory]

    def mark(self, tag: Tag) -> None:
        """Write a tag into this buffer."""
        self.words.copy_(torch.frombuffer(bytearray(pack_tag(tag)), dtype=torch.int64))


@final
class NcclOutgoing:
    """Sends the messages of one edge, with two buffers in turn: one message may wait while another is under way.

    Copies and sends are ordered on the device. The host waits only if the message before the last is not yet received.
    """

    def __init__(self, link: "NcclLink", edge: Edge, rank: int) -> None:
        self._link, self._edge, self._rank = link, edge, rank
        self._group = link.group(link.rank, rank)
        self._free, self._last = DeviceBuffer(edge, link.device), DeviceBuffer(edge, link.device)
        for buffer in (self._free, self._last):
            buffer.mark(Tag.of(link.session, edge, 0))
        self._posted: list[tuple[Work, int]] = []

    def send(self, round: int, value: Value) -> int:
        """Copy the value into a buffer, and queue its send after all earlier sends. Returns the bytes of the buffer."""
        if len(self._posted) == 2:
            self._wait()
        buffer, self._free, self._last = self._free, self._last, self._free
        write(buffer.value, value)
        buffer.words[2:3].fill_(round)
        return self.post(buffer, round)

    def post(self, buffer: DeviceBuffer, round: int) -> int:
        """Queue the send of `buffer` as it is. Returns the bytes of the buffer."""
        try:
            self._posted.append((self._group.send(buffer.wire, self._rank, 0), round))
        except RuntimeError as error:
            raise fault(self._link.session, self._link.me, self._edge, round, error) from error
        return buffer.wire[0].numel()

    def settle(self) -> None:
        """Let the host wait until every send is complete."""
        while self._posted:
            self._wait()

    def _wait(self) -> None:
        work, round = self._posted.pop(0)
        self._link.wait(work, self._edge, round)


@final
class NcclIncoming:
    """Receives the messages of one edge, with one buffer. No receive is queued early: NCCL keeps the order of queuing.

    The host waits until a message is complete, because every wait has a deadline. Then it reads the tag without waiting
    for the device's other work. So a wrong message is refused before its value is used.
    """

    def __init__(self, link: "NcclLink", edge: Edge, rank: int) -> None:
        self._link, self._edge, self._rank = link, edge, rank
        self._group = link.group(rank, link.rank)
        self._buffer, self._expected = DeviceBuffer(edge, link.device), Expected(link.session, edge)

    def receive(self, round: int) -> Tensor:
        """Wait for the next message from the peer, check its tag, and return its value."""
        link = self._link
        try:
            work = self._group.recv(self._buffer.wire, self._rank, 0)
        except RuntimeError as error:
            raise fault(link.session, link.me, self._edge, round, error) from error
        link.wait(work, self._edge, round)
        self._expected.check(memoryview(struct.pack(f"<{_WORDS}q", *link.glance(self._buffer.words))), round)
        return self._buffer.value.detach()

    def settle(self) -> None:
        """Do nothing: every tag is checked on arrival."""


@final
class NcclLink:
    """One worker's rank in two NCCL groups: one for messages to higher ranks, one for messages to lower ranks.

    make: a function that makes an NCCL group; torch's own by default.
    """

    def __init__(
        self,
        session: Session,
        me: str,
        rank: int,
        size: int,
        store: Store,
        device: torch.device,
        make: MakeGroup | None = None,
    ) -> None:
        self.session, self.me, self.rank, self.device, self._store = session, me, rank, device, store
        self.glance = Glance(device, _WORDS)
        self._make = make or self._torchs
        self._ascending = self._make(PrefixStore("ascending", store), rank, size, session)
        self._descending = self._make(PrefixStore("descending", store), rank, size, session)
        self._sums: list[Any] = []  # Any: NCCL groups

    def group(self, source: int, target: int) -> Any:  # Any: ProcessGroupNCCL is missing from CPU builds of torch
        """Return the group for messages from rank `source` to rank `target`."""
        return self._ascending if source < target else self._descending

    def outgoing(self, edge: Edge, rank: int) -> NcclOutgoing:
        """Return the object that sends messages on `edge` to `rank`."""
        return NcclOutgoing(self, edge, rank)

    def incoming(self, edge: Edge, rank: int) -> NcclIncoming:
        """Return the object that receives messages on `edge` from `rank`."""
        return NcclIncoming(self, edge, rank)

    def greet(self, ranks: Mapping[str, int]) -> None:
        """Exchange a byte in each direction with every peer, in the order of ranks. This makes NCCL's communicators.

        Making a communicator blocks both of its ranks. All workers go through their pairs in the order of (lower,
        higher) rank. So both ranks of the least pair in progress are at that pair, and the exchange ends.
        """
        byte = [torch.zeros(1, dtype=torch.uint8, device=self.device)]
        for peer, rank in sorted(ranks.items(), key=lambda item: item[1]):
            low, high = min(rank, self.rank), max(rank, self.rank)
            for source, target in ((low, high), (high, low)):
                self._exchange(byte, source, target, peer)

    def wait(self, work: Work, edge: Edge, round: int) -> None:
        """Let the host wait for a message, up to the deadline. Raises DeadlineError or TransportError."""
        try:
            self.finish(work)
        except RuntimeError as error:
            raise fault(self.session, self.me, edge, round, error) from error

    def finish(self, work: Work) -> None:
        """Let the host wait for an operation, up to the deadline. Raises RuntimeError, as torch does."""
        began = time.monotonic()
        while not work.is_completed():
            waited = time.monotonic() - began
            if waited > self.session.deadline:
                raise RuntimeError("NCCL timed out")
            time.sleep(0 if waited < _EAGER else _PAUSE)
        work.wait()  # raises the work's error; the stream does not wait any more

    def close(self) -> None:
        """Abort all operations in progress. Otherwise an operation whose peer is gone may never end."""
        for group in (self._ascending, self._descending, *self._sums):
            group.abort()

    def greet_replicas(self, workers: tuple[str, ...], group: Any) -> None:  # Any: an NCCL group
        """Do nothing: NCCL's groups have no authentication."""

    def all_reduce(self, reduction: Reduction, group: Any) -> AllReduce:  # Any: an NCCL group
        """Return the object that takes part in an all-reduce, with buffers on the device.

        group: an NCCL group that `replicas` made.
        """
        length = AllReduce.length(reduction)
        buffers = [torch.zeros(length, dtype=reduction.dtype, device=self.device) for _ in range(2)]
        return AllReduce(self.session, self.me, group, reduction, buffers, self.finish)

    def replicas(self, workers: tuple[str, ...]) -> Any:  # Any: an NCCL group
        """Return a new NCCL group for the all-reduces of the replicas `workers`. This worker is one of the replicas."""
        store = PrefixStore(f"sum/{group_name(workers)}", self._store)
        group = self._make(store, workers.index(self.me), len(workers), self.session)
        self._sums.append(group)
        return group

    def _exchange(self, byte: list[Tensor], source: int, target: int, peer: str) -> None:
        try:
            group = self.group(source, target)
            work = group.send(byte, target, 0) if source == self.rank else group.recv(byte, source, 0)
            self.finish(work)
            return
        except RuntimeError as error:
            reason = brief(str(error))
        raise TransportError(
            f"worker {self.me!r} cannot connect to {peer!r} over NCCL in generation {self.session.generation}: "
            f"{reason}. Expected two devices that reach each other; run `antiphon doctor --gpu`, and set "
            "NCCL_DEBUG=INFO to see what NCCL tried."
        )

    def _torchs(self, store: Store, rank: int, size: int, session: Session) -> Any:  # Any: an NCCL group
        make: Any = getattr(torch.distributed, "ProcessGroupNCCL", None)
        if make is None:
            raise TransportError(
                f"worker {self.me!r} was to use NCCL on {self.device}; this torch was built without it. "
                "Install a CUDA build of torch, or place the worker on the CPU."
            )
        options = make.Options()
        options._timeout = deadline(session) * _PATIENCE
        return make(store, rank, size, options)
