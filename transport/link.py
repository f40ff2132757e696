"""What a process-group channel needs of a backend: one object per edge and direction, with everything prepared."""

from datetime import timedelta
from typing import Any, Protocol

from torch import Tensor

from antiphon.errors import AntiphonError
from antiphon.transport.channel import gone, too_late
from antiphon.transport.message import Edge, Reduction, Session


class Outgoing(Protocol):
    """The sending half of one edge."""

    def send(self, round: int, value: Tensor) -> int:
        """Copy the value and post it; waits up to the deadline while the buffer is under way. Returns bytes posted."""
        ...

    def settle(self) -> None:
        """Wait until what was posted has left the buffer."""
        ...


class Incoming(Protocol):
    """The receiving half of one edge."""

    def receive(self, round: int) -> Tensor:
        """Wait for the message of this round."""
        ...

    def settle(self) -> None:
        """Make the checks that are still due."""
        ...


class Sum(Protocol):
    """One worker's end of a sum over replicas."""

    def contribute(self, round: int, value: Tensor) -> int:
        """Copy the term and post it; returns the bytes posted."""
        ...

    def collect(self, round: int) -> Tensor:
        """Wait for the sum of this round."""
        ...


class Link(Protocol):
    """A group of ranks joined by one backend."""

    def outgoing(self, edge: Edge, rank: int) -> Outgoing:
        """The sending half of an edge to `rank`."""
        ...

    def incoming(self, edge: Edge, rank: int) -> Incoming:
        """The receiving half of an edge from `rank`."""
        ...

    def replicas(self, workers: tuple[str, ...]) -> Any:  # Any: a process group of torch, without a common type
        """A group of these workers, for their sums; this one is among them. It connects when it is first used."""
        ...

    def total(self, reduction: Reduction, group: Any) -> Sum:  # Any: as above
        """One worker's end of a sum over a group of `replicas`."""
        ...

    def greet(self, ranks: dict[str, int]) -> None:
        """Connect to these peers, by name and rank. Raises TransportError naming one that cannot be reached."""
        ...

    def close(self) -> None:
        """Release sockets and threads."""
        ...


def deadline(session: Session) -> timedelta:
    """The session's deadline as the backends take it."""
    return timedelta(seconds=session.deadline)


def fault(session: Session, me: str, edge: Edge, round: int, error: RuntimeError) -> AntiphonError:
    """A backend's error in our words: a deadline, or a peer that is gone."""
    text = str(error)
    if "timed out" in text.lower():
        return too_late(session, me, edge, round)
    return gone(me, edge, round, brief(text))


def brief(text: str) -> str:
    """The first sentence of a backend's error, without its source file."""
    text = text.splitlines()[0] if text else "unknown"
    if text.startswith("["):
        text = text.partition("] ")[2]
    return text.partition(". ")[0].rstrip(". ")
