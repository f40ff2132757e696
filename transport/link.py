"""The interfaces of a process-group channel's backends. A backend makes one object for each edge and direction."""

import struct
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Protocol, final

from torch import Tensor

from antiphon.errors import AntiphonError, CodecError
from antiphon.transport.channel import gone, parsed, too_late, where
from antiphon.transport.checksum import crc
from antiphon.transport.codec import CHECKSUM, CHECKSUM_AT, pack_tag, unpack_tag
from antiphon.transport.memory import Value
from antiphon.transport.message import Edge, Reduction, Session, Tag, expect

ROUND = struct.Struct("<Q")
ROUND_AT = 16
"""Offset of the round in a packed tag."""


class Outgoing(Protocol):
    """Sends the messages of one edge."""

    def send(self, round: int, value: Value) -> int:
        """Copy the value to a buffer and start to send it. Returns the bytes to send.

        Blocks up to the deadline while the buffer is still in use.
        """
        ...

    def settle(self) -> None:
        """Wait until all sent messages have left their buffers."""
        ...


class Incoming(Protocol):
    """Receives the messages of one edge."""

    def receive(self, round: int) -> Tensor:
        """Wait for the message of this round, and return its value."""
        ...

    def settle(self) -> None:
        """Check the tags of received messages that are not yet checked."""
        ...


class ReplicaSum(Protocol):
    """One worker's part in an all-reduce over replicas, which is done once a round."""

    def contribute(self, round: int, value: Tensor) -> int:
        """Copy this worker's term and start to send it. Returns the bytes to send."""
        ...

    def collect(self, round: int) -> Tensor:
        """Wait for the all-reduce of this round, and return the sum."""
        ...


class Link(Protocol):
    """One worker's connections to its peers over one backend."""

    def outgoing(self, edge: Edge, rank: int) -> Outgoing:
        """Return the object that sends messages on `edge` to `rank`."""
        ...

    def incoming(self, edge: Edge, rank: int) -> Incoming:
        """Return the object that receives messages on `edge` from `rank`."""
        ...

    def greet(self, ranks: Mapping[str, int]) -> None:
        """Connect to all peers in `ranks`, which maps the name of a peer to its rank.

        Raises TransportError with the name of a peer that is not reached.
        """
        ...

    def close(self) -> None:
        """Release sockets and threads."""
        ...


class SummingLink(Link, Protocol):
    """One worker's connections to its peers, over a backend that also has an all-reduce over groups of ranks."""

    def replicas(self, workers: tuple[str, ...]) -> Any:  # Any: a process group of torch, without a common type
        """Return a process group for the all-reduces of the replicas `workers`. This worker is one of the replicas.

        It connects at its first use.
        """
        ...

    def greet_replicas(self, workers: tuple[str, ...], group: Any) -> None:  # Any: a process group of torch
        """Let the replicas of a group that `replicas` made authenticate each other, after all of them have made it."""
        ...

    def all_reduce(self, reduction: Reduction, group: Any) -> ReplicaSum:  # Any: a torch process group
        """Return the object that takes part in an all-reduce. group: a process group that `replicas` made."""
        ...


@final
class Expected:
    """The tag that the next message of an edge must have. It is packed to bytes once.

    For each message only the round is written anew, and the checksum, if messages have one.
    """

    def __init__(self, session: Session, edge: Edge) -> None:
        self._session, self._edge = session, edge
        self._tag = bytearray(pack_tag(Tag.of(session, edge, 0)))

    def check(self, tag: memoryview, round: int, covered: memoryview | None = None) -> None:
        """Raise CodecError or ProtocolError unless the bytes `tag` are the tag of the edge's message in this round.

        covered: the bytes of value and tag that the checksum covers; None for messages without a checksum.
        """
        ROUND.pack_into(self._tag, ROUND_AT, round)
        if covered is not None:
            CHECKSUM.pack_into(self._tag, CHECKSUM_AT, crc(covered))
        if tag.tobytes() != self._tag:  # comparing a memoryview takes longer
            found = parsed(unpack_tag, tag, self._edge.target, self._edge, round)
            expect(found, self._session, self._edge, round)
            raise damaged(self._edge, round, bytes(self._tag), bytes(tag))


def damaged(edge: Edge, round: int, expected: bytes, arrived: bytes) -> CodecError:
    """Return the error for a message whose tag has another checksum than its bytes. expected, arrived: the tags."""
    own, found = (CHECKSUM.unpack_from(tag, CHECKSUM_AT)[0] for tag in (expected, arrived))
    return CodecError(
        f"worker {edge.target!r} refused a message from worker {edge.source!r} on edge {where(edge, round)}: expected "
        f"the checksum {own:08x} of its bytes; arrived {found:08x}. The bytes were damaged on the way: look at memory "
        "and network of both machines, and continue from the last checkpoint."
    )


def deadline(session: Session) -> timedelta:
    """Return the session's deadline as a timedelta, the type that torch's process groups take."""
    return timedelta(seconds=session.deadline)


def fault(session: Session, me: str, edge: Edge, round: int, error: RuntimeError) -> AntiphonError:
    """Return the error to raise after a backend's RuntimeError: DeadlineError if it timed out, else TransportError."""
    text = str(error)
    if "timed out" in text.lower():
        return too_late(session, me, edge, round)
    return gone(me, edge, round, brief(text))


def brief(text: str) -> str:
    """Return the first sentence of a backend's error message, without its source location."""
    text = text.splitlines()[0] if text else "unknown"
    if text.startswith("["):
        text = text.partition("] ")[2]
    return text.partition(". ")[0].rstrip(". ")
