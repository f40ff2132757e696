"""A channel that sends each message as one frame (header and value) to the peer's mailbox, for example by Ray."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias, final

from torch import Tensor

from antiphon.errors import ProtocolError
from antiphon.transport.bounded_queue import BoundedQueue
from antiphon.transport.channel import check_value, no_such_edge, parsed, too_late
from antiphon.transport.checksum import checked
from antiphon.transport.codec import Frame, decode, encode, pack_tag, unpack_tag
from antiphon.transport.memory import Value, aligned
from antiphon.transport.message import Edge, Header, Session, expect
from antiphon.transport.pairwise import Pairwise

WINDOW = 2
"""The number of messages that may be under way on one edge before the sender waits for the receiver."""

Post: TypeAlias = Callable[[str, int, Frame], None]
"""`post(peer, edge number, frame)`: pass a copy of the frame to the peer's `Mailbox.put`, in order, without waiting.

When it returns, the caller may overwrite the frame.
"""


@final
class Mailbox:
    """Holds the frames that peers send to one worker: messages on incoming edges, and receipts on outgoing edges.

    Thread-safe. Each edge has a queue longer than `window`, the number of messages that may be under way on one edge.
    So a peer that waits for its receipts never finds a queue full.
    """

    def __init__(self, me: str, edges: Sequence[Edge], window: int = WINDOW) -> None:
        self.me, self.window = me, window
        self._queues: dict[int, BoundedQueue[Frame]] = {
            # One more than the window: a duplicate must be refused for its tag, not as an overflow.
            edge.number: BoundedQueue(window + 1)
            for edge in edges
            if me in (edge.source, edge.target)
        }

    def put(self, edge_number: int, frame: Frame) -> None:
        """Store a frame of a peer. Does not block. Raises ProtocolError for an unknown edge or a full queue."""
        queue = self._queues.get(edge_number)
        if queue is None:
            raise ProtocolError(
                f"the mailbox of worker {self.me!r} has no edge {edge_number}; expected one of {sorted(self._queues)}. "
                "Project all workers from the same schedule."
            )
        if not queue.offer(frame):
            raise ProtocolError(
                f"the mailbox of worker {self.me!r} is full on edge {edge_number}: expected at most {self.window} "
                f"messages under way; arrived one more than {queue.bound}. Let the sender wait for its receipts."
            )

    def take(self, edge: Edge, deadline: float) -> Frame:
        """Return the oldest frame of this edge. Blocks up to `deadline` seconds, then raises TimeoutError.

        If no frame is left after a call of `fail`, raises the error of that call.
        """
        return self._queues[edge.number].take(deadline)

    def fail(self, failure: BaseException) -> None:
        """Wake all waiting threads with this error. Frames that have already arrived can still be taken."""
        for queue in self._queues.values():
            queue.fail(failure)


@final
class ObjectStoreChannel:
    """A worker's channel that sends whole frames. It is slow (one call per message), but needs no process group.

    Every frame contains its whole header, which the receiver checks. So `open` compares no headers and does not wait.
    The channel owns one frame per outgoing edge, which is written again for each message. It also owns memory for one
    value per incoming edge, for values that cannot be read inside their frame.
    """

    def __init__(self, session: Session, me: str, post: Post, mailbox: Mailbox, edges: Sequence[Edge]) -> None:
        self._session, self._me, self._post, self._mailbox = session, me, post, mailbox
        self._edges = tuple(edge for edge in edges if me in (edge.source, edge.target))
        self._checked = checked(session, same_machine=False)  # it does not know where its peers are
        sums = Pairwise(me, self.send, self.receive)
        self.contribute, self.collect = sums.contribute, sums.collect
        self._under_way: dict[int, deque[int]] = {}
        self._frames: dict[int, memoryview] = {}
        self._arrived: dict[int, memoryview] = {}

    def open(self) -> None:
        """Prepare the channel. Does not wait for the peers."""
        self._under_way = {edge.number: deque() for edge in self._edges}
        self._arrived = {edge.number: aligned(edge.bytes) for edge in self._edges if edge.target == self._me}

    def send(self, edge: Edge, round: int, value: Value) -> int:
        """Send a frame, and return its size in bytes. If the window is full, first wait for the oldest receipt.

        The window is the number of messages that may be under way. A receipt is a tag that the receiver sends back for
        each message. It is not counted in the returned bytes.
        """
        self._check(edge, edge.source, "send")
        check_value(edge, value)
        rounds = self._under_way[edge.number]
        if len(rounds) >= self._mailbox.window:
            self._await_receipt(edge, round)
        rounds.append(round)
        frame = encode(Header.of(self._session, edge, round), value, self._frames.get(edge.number), self._checked)
        self._frames[edge.number] = frame
        self._post(edge.target, edge.number, frame)
        return len(frame)

    def receive(self, edge: Edge, round: int) -> Tensor:
        """Wait for the next frame of this edge, check it, and send its receipt. Returns the value."""
        self._check(edge, edge.target, "receive")
        decoded = partial(decode, memory=self._arrived[edge.number], checksum=self._checked)
        header, value = parsed(decoded, self._take(edge, round), self._me, edge, round)
        expect(header, self._session, edge, round)
        self._post(edge.source, edge.number, pack_tag(header.tag))
        return value

    def settle(self) -> None:
        """Do nothing: all sent frames were already passed on."""

    def close(self) -> None:
        """Forget the messages under way, and release the buffers. The mailbox belongs to the worker and stays open."""
        self._under_way, self._frames, self._arrived = {}, {}, {}

    def _await_receipt(self, edge: Edge, round: int) -> None:
        oldest = self._under_way[edge.number].popleft()
        back = replace(edge, source=edge.target, target=edge.source)
        expect(parsed(unpack_tag, self._take(edge, round), self._me, edge, oldest), self._session, back, oldest)

    def _take(self, edge: Edge, round: int) -> Frame:
        try:
            return self._mailbox.take(edge, self._session.deadline)
        except TimeoutError as error:
            raise too_late(self._session, self._me, edge, round) from error

    def _check(self, edge: Edge, worker: str, direction: str) -> None:
        if edge.number not in self._under_way or worker != self._me:
            raise no_such_edge(self._me, edge, direction)
