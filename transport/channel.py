"""The channel: one worker's end of its conversation with its peers."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from antiphon.errors import CodecError, DeadlineError, ProtocolError, ShapeError, TransportError
from antiphon.transport.message import Edge, Reduction, Session, phase_name, value_type


@runtime_checkable
class Channel(Protocol):
    """Carries all edges of one worker. Used by one thread at a time, except `close`, which any thread may call.

    A DeadlineError or a TransportError is final: close the channel and open one of the next generation.
    """

    def open(self) -> None:
        """Meet the peers and agree with them, once, on the header of every fixed-shape edge. Blocks up to the deadline.

        Raises ProtocolError or ShapeError where two workers disagree, DeadlineError or TransportError where one
        is missing.
        """
        ...

    def send(self, edge: Edge, round: int, value: Tensor) -> int:
        """Copy `value` (the edge's shape and dtype) once and let it go; the caller may overwrite it at once.

        Returns the bytes that it put on the way: the value's own, and around them a tag, or a header with its padding.
        Does not wait for the receiver, unless it lags so far behind that no send buffer of this edge is free: then it
        waits up to the deadline. Raises ShapeError before anything is sent, DeadlineError, TransportError.
        """
        ...

    def receive(self, edge: Edge, round: int) -> Tensor:
        """The value of this edge in this round; blocks up to the deadline.

        Contiguous, 64-byte aligned, owned by the channel and valid until the next receive of the same edge.
        Raises ProtocolError (another message arrived), CodecError, DeadlineError, TransportError (the peer is gone).
        """
        ...

    def contribute(self, reduction: Reduction, round: int, value: Tensor) -> int:
        """Copy this worker's term of a sum and let it go, as `send` does; returns the bytes that it put on the way.

        Every worker of the reduction contributes and collects, all of them in one order.
        """
        ...

    def collect(self, reduction: Reduction, round: int) -> Tensor:
        """The sum of this round, the same bits for every worker of the reduction; blocks up to the deadline.

        Owned by the channel and valid until the next collect of the same reduction. Raises as `receive` does.
        """
        ...

    def settle(self) -> None:
        """Wait until nothing that was sent depends on this worker any more. Raises DeadlineError, TransportError."""
        ...

    def close(self) -> None:
        """Release sockets, threads and buffers. Does not wait for what is under way; may be called again."""
        ...


def check_value(edge: Edge, value: Tensor) -> None:
    """Refuse a value that is not of its edge's type."""
    if value.shape == edge.shape and value.dtype is edge.dtype:
        return
    raise ShapeError(
        f"worker {edge.source!r} was to send {value_type(edge.dtype, edge.shape)} on edge {edge.name!r} to worker "
        f"{edge.target!r}; arrived {value_type(value.dtype, tuple(value.shape))}. "
        "Return what the edge declares, or declare what is returned."
    )


def no_such_edge(me: str, edge: Edge, direction: str) -> ProtocolError:
    """`me` was asked to use an edge that it does not have in this direction ("send" or "receive")."""
    return ProtocolError(
        f"worker {me!r} cannot {direction} on edge {edge.name!r} (number {edge.number}, from {edge.source!r} to "
        f"{edge.target!r}): its channel is not open, or was made without this edge. "
        "Open it first, with the edges of the worker's own projection."
    )


def too_late(session: Session, me: str, edge: Edge, round: int) -> DeadlineError:
    """`me` waited for the other end of `edge` until the deadline."""
    peer = edge.peer(me)
    what = "to take its last message" if me == edge.source else "to send"
    return DeadlineError(
        f"worker {me!r} waited {session.deadline:g} s for {peer!r} {what} on edge {where(edge, round)}. "
        f"See what {peer!r} is doing, or raise the deadline."
    )


def gone(me: str, edge: Edge, round: int, reason: str) -> TransportError:
    """The other end of `edge` is gone."""
    return TransportError(
        f"worker {me!r} lost {edge.peer(me)!r} on edge {where(edge, round)}: {reason}. "
        f"Restart {edge.peer(me)!r} and open the channels of the next generation."
    )


def where(edge: Edge, round: int) -> str:
    """An edge and a round in text."""
    return f"{edge.name!r} ({phase_name(edge.phase)} phase, round {round})"


def garbled(me: str, edge: Edge, round: int, error: CodecError) -> CodecError:
    """What arrived on `edge` does not parse; `error` says why."""
    return CodecError(f"worker {me!r} heard {edge.peer(me)!r} badly on edge {where(edge, round)}: {error}")
