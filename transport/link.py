"""What a process-group channel needs from a backend: one prepared object for each edge and direction."""

import struct
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Protocol, final

from torch import Tensor

from antiphon.errors import AntiphonError
from antiphon.transport.channel import gone, parsed, too_late
from antiphon.transport.codec import pack_tag, unpack_tag
from antiphon.transport.message import Edge, Reduction, Session, Tag, expect

ROUND = struct.Struct("<Q")
ROUND_AT = 16
"""Offset of the round in a packed tag."""


class Outgoing(Protocol):
    """The sending half of one edge."""

    def send(self, round: int, value: Tensor) -> int:
        """Copy the value and post it. Waits up to the deadline while the buffer is in use. Returns the bytes posted."""
        ...

    def settle(self) -> None:
        """Wait until all posted messages have left their buffers."""
        ...


class Incoming(Protocol):
    """The receiving half of one edge."""

    def receive(self, round: int) -> Tensor:
        """Wait for the message of this round."""
        ...

    def settle(self) -> None:
        """Make the checks that are not yet done."""
        ...


class ReplicaSum(Protocol):
    """One worker's end of a sum over replicas."""

    def contribute(self, round: int, value: Tensor) -> int:
        """Copy the term and post it. Returns the bytes posted."""
        ...

    def collect(self, round: int) -> Tensor:
        """Wait for the sum of this round."""
        ...


class Link(Protocol):
    """A group of ranks that one backend connects."""

    def outgoing(self, edge: Edge, rank: int) -> Outgoing:
        """The sending half of an edge to `rank`."""
        ...

    def incoming(self, edge: Edge, rank: int) -> Incoming:
        """The receiving half of an edge from `rank`."""
        ...

    def greet(self, ranks: Mapping[str, int]) -> None:
        """Connect to these peers. ranks: by name. Raises TransportError naming a peer that cannot be reached."""
        ...

    def close(self) -> None:
        """Release sockets and threads."""
        ...


class SummingLink(Link, Protocol):
    """A link whose backend sums over groups of ranks."""

    def replicas(self, workers: tuple[str, ...]) -> Any:  # Any: a process group of torch, without a common type
        """A process group of these workers, this one among them, for their sums. It connects at its first use."""
        ...

    def all_reduce(self, reduction: Reduction, group: Any) -> ReplicaSum:  # Any: as above
        """This worker's end of one sum, over a group made by `replicas`."""
        ...


@final
class Expected:
    """The tag that the next message of an edge must have. It is packed once; only its round changes."""

    def __init__(self, session: Session, edge: Edge) -> None:
        self._session, self._edge = session, edge
        self._tag = bytearray(pack_tag(Tag.of(session, edge, 0)))

    def check(self, tag: memoryview, round: int) -> None:
        """Raise an error unless this is the tag of the round. Raises CodecError or ProtocolError."""
        ROUND.pack_into(self._tag, ROUND_AT, round)
        if tag.tobytes() != self._tag:  # comparing a memoryview takes longer
            found = parsed(unpack_tag, tag, self._edge.target, self._edge, round)
            expect(found, self._session, self._edge, round)


def deadline(session: Session) -> timedelta:
    """The session's deadline as a timedelta, for the backends."""
    return timedelta(seconds=session.deadline)


def fault(session: Session, me: str, edge: Edge, round: int, error: RuntimeError) -> AntiphonError:
    """Translate a backend's error into a DeadlineError, or a TransportError if the peer is gone."""
    text = str(error)
    if "timed out" in text.lower():
        return too_late(session, me, edge, round)
    return gone(me, edge, round, brief(text))


def brief(text: str) -> str:
    """The first sentence of a backend's error message, without its source location."""
    text = text.splitlines()[0] if text else "unknown"
    if text.startswith("["):
        text = text.partition("] ")[2]
    return text.partition(". ")[0].rstrip(". ")
