"""The backend gloo, for messages between CPUs. Buffers and first receives are prepared before the rounds."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor

from antiphon.errors import ProtocolError, TransportError
from antiphon.transport.all_reduce import AllReduce
from antiphon.transport.authenticated_store import CODE_BYTES, code, same_code
from antiphon.transport.c10d import PrefixStore, ProcessGroupGloo, Store, Work
from antiphon.transport.checksum import checked, crc
from antiphon.transport.codec import CHECKSUM, CHECKSUM_AT, TAG_BYTES, pack_tag
from antiphon.transport.device import host_memory
from antiphon.transport.link import ROUND, ROUND_AT, Expected, Incoming, ReplicaSum, brief, deadline, fault
from antiphon.transport.memory import Value, tensor_over, write
from antiphon.transport.message import Edge, Reduction, Session, Tag
from antiphon.transport.rendezvous import group_name, stranger
from antiphon.transport.staged import StagedAllReduce, StagedIncoming

_HELLO = 0  # gloo tag of the first message between two ranks; edge n uses gloo tag n + 1


@final
class Buffer:
    """Host memory of one message: the value, then a tag. The value comes first so that it is aligned.

    covered: the part that the tag's checksum covers.
    device: the worker's device. If it is a CUDA device, the memory is pinned.
    """

    __slots__ = ("covered", "memory", "tag", "value", "wire")

    def __init__(self, edge: Edge, device: torch.device) -> None:
        self.memory = host_memory(edge.bytes + TAG_BYTES, device)
        self.tag = self.memory[edge.bytes :]
        self.covered = self.memory[: edge.bytes + CHECKSUM_AT]
        self.value = tensor_over(self.memory, edge.dtype, edge.shape)
        # gloo takes a list of tensors
        self.wire = [tensor_over(self.memory, torch.uint8, (len(self.memory),))]


@final
class GlooOutgoing:
    """Sends the messages of one edge, with one buffer.

    The buffer's tag is written once; then only its round changes.
    """

    def __init__(self, link: "GlooLink", edge: Edge, rank: int) -> None:
        self._link, self._edge, self._rank, self._number = link, edge, rank, edge.number + 1
        self._post = link.group.send
        self._deadline = deadline(link.session)
        self._buffer = Buffer(edge, link.memory_for)
        self._buffer.tag[:] = pack_tag(Tag.of(link.session, edge, 0))
        self._checked = checked(link.session, same_machine=False)
        self._work: Work | None = None

    def send(self, round: int, value: Value) -> int:
        """Wait until the last message has left the buffer, copy the value into the buffer, and start to send it."""
        if self._work is not None:
            self._wait(round)
        buffer = self._buffer
        write(buffer.value, value)
        ROUND.pack_into(buffer.tag, ROUND_AT, round)
        if self._checked:
            CHECKSUM.pack_into(buffer.tag, CHECKSUM_AT, crc(buffer.covered))
        try:
            self._work = self._post(buffer.wire, self._rank, self._number)
        except RuntimeError as error:
            raise fault(self._link.session, self._link.me, self._edge, round, error) from error
        return len(buffer.memory)

    def settle(self) -> None:
        """Wait until the last message has left the buffer."""
        if self._work is not None:
            self._wait(ROUND.unpack_from(self._buffer.tag, ROUND_AT)[0])

    def _wait(self, round: int) -> None:
        work, self._work = self._work, None
        assert work is not None
        try:
            work.wait(self._deadline)
        except RuntimeError as error:
            raise fault(self._link.session, self._link.me, self._edge, round, error) from error


@final
class GlooIncoming:
    """Receives the messages of one edge, with two buffers: the reader uses one, the other waits for the next message.

    gloo receives bytes only into a posted buffer. Posting early lets a message arrive while this worker computes.
    """

    def __init__(self, link: "GlooLink", edge: Edge, rank: int) -> None:
        self._link, self._edge, self._rank, self._number = link, edge, rank, edge.number + 1
        self._post = link.group.recv
        self._deadline = deadline(link.session)
        self._expected = Expected(link.session, edge)
        self._checked = checked(link.session, same_machine=False)
        self._posted, self._spare = Buffer(edge, link.memory_for), Buffer(edge, link.memory_for)
        self._work = self._post(self._posted.wire, rank, self._number)

    def receive(self, round: int) -> Tensor:
        """Wait for the message, post the next receive into the other buffer, and check the tag."""
        try:
            self._work.wait(self._deadline)
            arrived, self._posted, self._spare = self._posted, self._spare, self._posted
            self._work = self._post(self._posted.wire, self._rank, self._number)
        except RuntimeError as error:
            raise fault(self._link.session, self._link.me, self._edge, round, error) from error
        self._expected.check(arrived.tag, round, arrived.covered if self._checked else None)
        # A new tensor over the same memory: changes that a reader makes to it (requires_grad_) do not last.
        return arrived.value.detach()

    def settle(self) -> None:
        """Do nothing: every tag is checked on arrival."""


@final
class GlooLink:
    """One worker's rank in a gloo group, which is made anew each time the workers connect.

    Two ranks connect at first use: with 8 ranks, a full mesh takes four times as long to open as a ring.
    device: None if all values are in host memory. Else values are staged: the buffers are pinned for the device, and a
    value that arrives is copied to the device. A value to send is copied to the host without `non_blocking`. Such a
    copy is complete when the call returns, so the message is complete, and the sender may overwrite its value.
    """

    def __init__(
        self, session: Session, me: str, rank: int, size: int, store: Store, hostname: str, device: torch.device | None
    ) -> None:
        self.session, self.me, self._store, self._hostname, self._device = session, me, store, hostname, device
        self.memory_for = device or torch.device("cpu")
        self.group = self._make(PrefixStore("gloo", store), rank, size)

    def outgoing(self, edge: Edge, rank: int) -> GlooOutgoing:
        """Return the object that sends messages on `edge` to `rank`."""
        return GlooOutgoing(self, edge, rank)

    def incoming(self, edge: Edge, rank: int) -> Incoming:
        """Return the object that receives messages on `edge` from `rank`."""
        incoming = GlooIncoming(self, edge, rank)
        return StagedIncoming(incoming, edge, self._device) if self._device else incoming

    def replicas(self, workers: tuple[str, ...]) -> Any:  # Any: torch's groups have no common type
        """Return a new gloo group for the all-reduces of the replicas `workers`. This worker is one of the replicas."""
        return self._make(PrefixStore(f"sum/{group_name(workers)}", self._store), workers.index(self.me), len(workers))

    def greet_replicas(self, workers: tuple[str, ...], group: Any) -> None:  # Any: a torch process group
        """Exchange an authentication code with the other replicas of a group that `replicas` made."""
        others = {worker: rank for rank, worker in enumerate(workers) if worker != self.me}
        self._greet(group, others, group_name(workers))

    def all_reduce(self, reduction: Reduction, group: Any) -> ReplicaSum:  # Any: a torch process group
        """Return the object that takes part in an all-reduce, with buffers in host memory.

        group: a gloo group that `replicas` made.
        """
        length = AllReduce.length(reduction) * reduction.dtype.itemsize
        memory = [host_memory(length, self.memory_for) for _ in range(2)]
        buffers = [tensor_over(each, reduction.dtype, (AllReduce.length(reduction),)) for each in memory]
        total = AllReduce(self.session, self.me, group, reduction, buffers, self.finish)
        return StagedAllReduce(total, reduction, self._device) if self._device else total

    def finish(self, work: Work) -> None:
        """Wait for an operation, up to the deadline. Raises torch's RuntimeError if it fails or is late."""
        work.wait(deadline(self.session))

    def greet(self, ranks: Mapping[str, int]) -> None:
        """Exchange an authentication code with every peer, which makes the connections. ranks: of the peers, by name.

        Raises ProtocolError if the process at the other end of a connection does not know the run's secret.
        """
        self._greet(self.group, ranks, "all")

    def _greet(self, group: Any, ranks: Mapping[str, int], what: str) -> None:  # Any: a torch process group
        mine = {peer: bytearray(self._code(what, self.me, peer)) for peer in ranks}
        theirs = {peer: torch.zeros(CODE_BYTES, dtype=torch.uint8) for peer in ranks}
        works = []
        for peer, rank in ranks.items():
            with self._connecting(peer):
                works.append((peer, group.send([torch.frombuffer(mine[peer], dtype=torch.uint8)], rank, _HELLO)))
                works.append((peer, group.recv([theirs[peer]], rank, _HELLO)))
        for peer, work in works:
            with self._connecting(peer):
                work.wait(deadline(self.session))
        for peer, found in theirs.items():
            if not same_code(bytes(found.tolist()), self._code(what, peer, self.me)):
                raise stranger(self.session, self.me, peer)

    def _code(self, *parts: str) -> bytes:
        return code(self.session.secret, "hello", str(self.session.generation), *parts)

    def close(self) -> None:
        """Drop the group. Its sockets and its thread end with the last reference to it."""
        del self.group

    def _make(self, store: Store, rank: int, size: int) -> Any:  # Any: a torch process group
        options = ProcessGroupGloo._Options()
        options._devices = [ProcessGroupGloo.create_device(hostname=self._hostname, lazy_init=True)]
        options._timeout = deadline(self.session)
        options._threads = 1  # for collectives: the sums over replicas run one after the other
        return ProcessGroupGloo(store, rank, size, options)

    @contextmanager
    def _connecting(self, peer: str) -> Iterator[None]:
        try:
            yield
        except ProtocolError as error:
            raise ProtocolError(f"worker {self.me!r} cannot connect to {peer!r}: {error}") from error
        except RuntimeError as error:
            raise TransportError(
                f"worker {self.me!r} cannot connect to {peer!r} in generation {self.session.generation}: "
                f"{brief(str(error))}. Expected each to reach the other at its own host name; see network and firewall."
            ) from error
