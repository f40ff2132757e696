"""The channel: the interface through which one worker exchanges messages with its peers."""

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

from torch import Tensor

from antiphon.errors import CodecError, DeadlineError, ProtocolError, ShapeError, TransportError
from antiphon.transport.codec import Frame
from antiphon.transport.memory import Value, type_of
from antiphon.transport.message import Edge, Reduction, Session, phase_name, value_type

Parsed = TypeVar("Parsed")


@runtime_checkable
class Channel(Protocol):
    """Carries the messages of one worker. One thread at a time may use it; only `close` may be called from any thread.

    After a DeadlineError or TransportError the channel cannot be used: close it, and open a new one whose session has
    the next generation number.
    """

    def open(self) -> None:
        """Connect to the peers, and compare the headers of all edges with those of the peers.

        Blocks up to the deadline.
        Raises ProtocolError or ShapeError if two workers disagree. Raises DeadlineError or TransportError if a worker
        is missing.
        """
        ...

    def send(self, edge: Edge, round: int, value: Value) -> int:
        """Copy `value` once and send the copy. The caller may overwrite `value` when the call returns.

        value: a tensor of the edge's shape and dtype; or several tensors of its dtype, for an edge that carries a
        vector of all their elements.
        Returns the number of bytes sent, including the tag, or the header with padding. The call does not wait
        for the receiver while a send buffer of this edge is free; else it waits up to the deadline. Raises ShapeError
        before anything is sent, DeadlineError, TransportError.
        """
        ...

    def receive(self, edge: Edge, round: int) -> Tensor:
        """Return the value of this edge in this round. Blocks up to the deadline.

        The value is contiguous and 64-byte aligned. The channel owns it; it is valid until the next receive of the same
        edge.
        Raises ProtocolError (another message arrived), CodecError, DeadlineError, TransportError (the peer is gone).
        """
        ...

    def contribute(self, reduction: Reduction, round: int, value: Tensor) -> int:
        """Copy this worker's term of an all-reduce and start to send it. Returns the bytes sent.

        Does not wait for the other workers while a send buffer is free. Every worker of the reduction contributes and
        collects, and all do so in the same order. Raises ShapeError before anything is sent, DeadlineError,
        TransportError.
        """
        ...

    def collect(self, reduction: Reduction, round: int) -> Tensor:
        """Return the sum of this round's all-reduce, with the same bits on every worker. Blocks up to the deadline.

        The channel owns the sum; it is valid until the next collect of the same reduction. Raises ProtocolError
        (another message arrived), CodecError, DeadlineError, TransportError (a worker is gone).
        """
        ...

    def settle(self) -> None:
        """Wait until no sent message needs this worker any more, so that it may stop without losing one.

        Raises DeadlineError, TransportError.
        """
        ...

    def close(self) -> None:
        """Release sockets, threads and buffers. Does not wait for messages on their way. May be called twice."""
        ...


def check_value(edge: Edge, value: Value) -> None:
    """Raise ShapeError unless the value has the dtype and shape that the edge declares."""
    if (arrived := type_of(value)) == (edge.dtype, edge.shape):
        return
    raise ShapeError(
        f"worker {edge.source!r} was to send {value_type(edge.dtype, edge.shape)} on edge {edge.name!r} to worker "
        f"{edge.target!r}; arrived {value_type(*arrived)}. "
        "Return what the edge declares, or declare what is returned."
    )


def no_such_edge(me: str, edge: Edge, direction: str) -> ProtocolError:
    """Return the error for an edge that worker `me` does not have. direction: "send" or "receive"."""
    return ProtocolError(
        f"worker {me!r} cannot {direction} on edge {edge.name!r} (number {edge.number}, from {edge.source!r} to "
        f"{edge.target!r}): its channel is not open, or was made without this edge. "
        "Open it first, with the edges of the worker's own projection."
    )


def too_late(session: Session, me: str, edge: Edge, round: int) -> DeadlineError:
    """Return the error for worker `me`, which waited for the other worker of `edge` until the deadline."""
    peer = edge.peer(me)
    what = "to take its last message" if me == edge.source else "to send"
    return DeadlineError(
        f"worker {me!r} waited {session.deadline:g} s for {peer!r} {what} on edge {where(edge, round)}. "
        f"See what {peer!r} is doing, or raise the deadline."
    )


def gone(me: str, edge: Edge, round: int, reason: str) -> TransportError:
    """Return the error for worker `me` if the other worker of `edge` has closed its channel or has died."""
    return TransportError(
        f"worker {me!r} lost {edge.peer(me)!r} on edge {where(edge, round)}: {reason}. "
        f"Restart {edge.peer(me)!r} and open the channels of the next generation."
    )


def where(edge: Edge, round: int) -> str:
    """Return the name and phase of an edge, and a round, as text for errors."""
    return f"{edge.name!r} ({phase_name(edge.phase)} phase, round {round})"


def parsed(parse: Callable[[Frame], Parsed], data: Frame, me: str, edge: Edge, round: int) -> Parsed:
    """Return `parse(data)` for bytes that arrived on `edge`. A CodecError names both workers and the edge."""
    try:
        return parse(data)
    except CodecError as error:
        raise CodecError(
            f"worker {me!r} cannot read what {edge.peer(me)!r} sent on edge {where(edge, round)}: {error}"
        ) from error
