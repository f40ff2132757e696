"""A channel between workers of one process. It copies values to buffers, with the same rules as between machines."""

import threading
from collections.abc import Iterable, Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.transport.bounded_queue import BoundedQueue
from antiphon.transport.channel import check_value, gone, no_such_edge, too_late
from antiphon.transport.memory import Value, write
from antiphon.transport.message import Edge, Header, Session, Tag, expect
from antiphon.transport.pairwise import Pairwise


class _Left(Exception):
    """Raised when the other worker of an edge has closed its channel."""


@final
class _Road:
    """The buffers of one edge in one process. A fixed number of buffers circulates between sender and receiver."""

    def __init__(self, edge: Edge, buffers: int) -> None:
        self.edge = edge
        self.free: BoundedQueue[Tensor] = BoundedQueue(buffers)
        self.sent: BoundedQueue[tuple[Tag, Tensor]] = BoundedQueue(buffers)
        self.held: Tensor | None = None
        for _ in range(buffers):
            self.free.offer(torch.empty(edge.shape, dtype=edge.dtype))

    def fail(self, failure: BaseException) -> None:
        self.free.fail(failure)
        self.sent.fail(failure)


@final
class Exchange:
    """The buffers that the local channels of one process share. Make this object before the channels.

    buffers: number per edge. The receiver holds one buffer, so the sender may be `buffers - 1` messages ahead.
    """

    def __init__(self, buffers: int = 3) -> None:
        self._buffers = buffers
        self._lock = threading.Lock()
        self._roads: dict[int, _Road] = {}
        self._headers: dict[int, Header] = {}

    def join(self, session: Session, edges: Iterable[Edge]) -> dict[int, _Road]:
        """Return the buffer of each edge in `edges`, by edge number.

        Raises ProtocolError or ShapeError if a worker that joined earlier has an edge with another header.
        """
        with self._lock:
            return {edge.number: self._road(session, edge) for edge in edges}

    def _road(self, session: Session, edge: Edge) -> _Road:
        expect(self._headers.setdefault(edge.number, Header.of(session, edge, 0)), session, edge, 0)
        if edge.number not in self._roads:
            self._roads[edge.number] = _Road(edge, self._buffers)
        return self._roads[edge.number]


@final
class LocalChannel:
    """The channel of one worker to other workers in the same process.

    `open` does not wait for the peers, because one thread may open all channels in turn. Of the two workers of an edge,
    the second one to open checks that both have the same header.
    """

    def __init__(self, session: Session, me: str, exchange: Exchange, edges: Sequence[Edge]) -> None:
        self._session, self._me, self._exchange = session, me, exchange
        self._edges = tuple(edge for edge in edges if me in (edge.source, edge.target))
        sums = Pairwise(me, self.send, self.receive)
        self.contribute, self.collect = sums.contribute, sums.collect
        self._roads: dict[int, _Road] = {}

    def open(self) -> None:
        """Get the buffers of this worker's edges from the `Exchange` of this process. Does not wait for the peers."""
        self._roads = self._exchange.join(self._session, self._edges)

    def send(self, edge: Edge, round: int, value: Value) -> int:
        """Copy the value into a free buffer, and give the buffer to the receiver. Returns the bytes of the value."""
        road = self._road(edge, edge.source, "send")
        check_value(edge, value)
        try:
            buffer = road.free.take(self._session.deadline)
            write(buffer, value)
            road.sent.offer((Tag.of(self._session, edge, round), buffer))
        except TimeoutError as error:
            raise too_late(self._session, self._me, edge, round) from error
        except _Left as error:
            raise gone(self._me, edge, round, "it closed its channel") from error
        return buffer.numel() * buffer.element_size()

    def receive(self, edge: Edge, round: int) -> Tensor:
        """Give back the buffer of the last message, and wait for the next message.

        Returns the value of the next message.
        """
        road = self._road(edge, edge.target, "receive")
        try:
            if road.held is not None:
                road.free.offer(road.held)
                road.held = None
        except _Left:
            pass  # the sender has left and needs no buffer; messages that it sent before can still be taken
        try:
            tag, road.held = road.sent.take(self._session.deadline)
        except TimeoutError as error:
            raise too_late(self._session, self._me, edge, round) from error
        except _Left as error:
            raise gone(self._me, edge, round, "it closed its channel") from error
        expect(tag, self._session, edge, round)
        return road.held.detach()

    def settle(self) -> None:
        """Do nothing: a sent message is already in a buffer that the receiver can read."""

    def close(self) -> None:
        """Close this worker's edges. A peer that waits for a message of this worker gets an error."""
        roads, self._roads = self._roads, {}
        for road in roads.values():
            road.fail(_Left())

    def _road(self, edge: Edge, worker: str, direction: str) -> _Road:
        road = self._roads.get(edge.number)
        if road is None or worker != self._me:
            raise no_such_edge(self._me, edge, direction)
        return road
