"""The backend between workers of one machine: values lie in memory that both map, and pipes carry the signals.

When the channel opens, a worker passes the file descriptors of memory and pipes to its peer over a Unix socket. The
size of /dev/shm does not matter.

A wait does not begin with a busy loop. With a core for each of two workers, half a round trip of 1 KiB took 33
microseconds with a busy loop of 50 microseconds, and 7 without: the busy thread holds what the other thread needs.

A maintained library, iceoryx2 0.10, took 65 microseconds for a message of 64 KiB (publish and notify). This module
takes 8 to 15. iceoryx2 also works with named objects and files, which this module does without.
"""

import hashlib
import os
import secrets
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from typing import final

from torch import Tensor

from antiphon.errors import AntiphonError, DeadlineError, TransportError
from antiphon.transport.authenticated_store import code, same_code
from antiphon.transport.c10d import Store
from antiphon.transport.channel import gone, too_late
from antiphon.transport.checksum import checked, crc
from antiphon.transport.codec import CHECKSUM, CHECKSUM_AT, TAG_BYTES, pack_tag
from antiphon.transport.link import ROUND, ROUND_AT, Expected
from antiphon.transport.memory import Value, write
from antiphon.transport.message import Edge, Session, Tag
from antiphon.transport.rendezvous import gather, peers_of
from antiphon.transport.shared_pair import Closing, EdgeBuffer, Gone, SharedLayout, SharedPair, pipes


def shared_memory_domain() -> str:
    """Return a name for the group of processes with which this process can share memory; "" if it cannot share any.

    Two processes can share memory if they run on one kernel, as one user, in one network namespace (which holds the
    names of the sockets). Containers of one pod can; other containers cannot.
    """
    if not hasattr(os, "memfd_create"):
        return ""
    try:
        with open("/proc/sys/kernel/random/boot_id") as boot:
            where = [boot.read(), os.stat("/proc/self/ns/net").st_ino, os.stat("/proc/self/ns/user").st_ino]
    except OSError:
        return ""
    return hashlib.sha256(repr([*where, os.geteuid()]).encode()).hexdigest()[:16]


@final
class SharedMemoryOutgoing:
    """Sends the messages of one edge. The tag of each buffer is written once; then only the tag's round changes."""

    def __init__(self, session: Session, me: str, edge: Edge, pair: SharedPair) -> None:
        self._session, self._me, self._edge, self._pair = session, me, edge, pair
        lane = pair.layout.lane(edge)
        self._arrived, self._freed = lane, lane + 1
        self._slots, self._next = pair.layout.slots(pair.memory, edge), 0
        pair.ready[self._freed] = len(self._slots)
        for slot in self._slots:
            slot.tag[:] = pack_tag(Tag.of(session, edge, 0))
        self._checked = checked(session, same_machine=True)

    def send(self, round: int, value: Value) -> int:
        """Copy the value into a free buffer, and signal its arrival. Returns the bytes of value and tag."""
        try:
            slot = self.free()
            write(slot.value, value)
            ROUND.pack_into(slot.tag, ROUND_AT, round)
            if self._checked:
                CHECKSUM.pack_into(slot.tag, CHECKSUM_AT, crc(slot.covered))
            self._pair.signal(self._arrived)
        except (TimeoutError, Gone) as error:
            raise _fault(self._session, self._me, self._edge, round, error) from error
        return self._edge.bytes + TAG_BYTES

    def free(self) -> EdgeBuffer:
        """Wait until the receiver has given back the next buffer, and return the buffer."""
        self._pair.wait(self._freed)
        slot = self._slots[self._next]
        self._next = (self._next + 1) % len(self._slots)
        return slot

    def settle(self) -> None:
        """Do nothing: sent messages lie in memory that the receiver holds too."""


@final
class SharedMemoryIncoming:
    """Receives the messages of one edge. A value stays in its buffer until the next `receive` gives the buffer back."""

    def __init__(self, session: Session, me: str, edge: Edge, pair: SharedPair) -> None:
        self._session, self._me, self._edge, self._pair = session, me, edge, pair
        self._arrived = pair.layout.lane(edge)
        self._freed = self._arrived + 1
        self._slots, self._next, self._holds = pair.layout.slots(pair.memory, edge), 0, False
        self._expected, self._checked = Expected(session, edge), checked(session, same_machine=True)

    def receive(self, round: int) -> Tensor:
        """Give back the last buffer, wait for the next message, check its tag, and return its value."""
        if self._holds:
            with suppress(Gone):  # messages that were sent before can still be taken
                self._pair.signal(self._freed)
            self._holds = False
        try:
            self._pair.wait(self._arrived)
        except (TimeoutError, Gone) as error:
            raise _fault(self._session, self._me, self._edge, round, error) from error
        slot = self._slots[self._next]
        self._next, self._holds = (self._next + 1) % len(self._slots), True
        self._expected.check(slot.tag, round, slot.covered if self._checked else None)
        return slot.value.detach()

    def settle(self) -> None:
        """Do nothing: every tag is checked on arrival."""


@final
class SharedMemoryLink:
    """A worker's connections with those peers that share memory with it.

    edges: between this worker and those peers. store: the TCP store in which workers publish the names of their
    sockets.
    """

    def __init__(self, session: Session, me: str, edges: Sequence[Edge], store: Store) -> None:
        self.session, self.me, self._store, self._closing = session, me, store, Closing()
        self._layouts = {
            peer: SharedLayout([edge for edge in edges if edge.peer(me) == peer]) for peer in peers_of(me, edges)
        }
        self._pairs: dict[str, SharedPair] = {}

    def greet(self, ranks: Mapping[str, int]) -> None:
        """Connect to all peers in `ranks`, which maps the name of a peer to its rank.

        Of two workers, the first by name makes memory and pipes, and passes them to the other.
        """
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as listener:
            name = b"\0antiphon-" + secrets.token_hex(16).encode()  # in Linux's abstract names: no file
            listener.bind(name)
            listener.listen(len(ranks))
            names = gather(self._store, self.session, self.me, sorted(ranks), "memory", name)
            try:
                for peer in names:
                    if self.me < peer:
                        self._pairs[peer] = self._offer(self._layouts[peer], names[peer], peer)
                self._accept(listener, {peer for peer in names if peer < self.me})
            except OSError as error:
                raise self._refused(error) from error

    def outgoing(self, edge: Edge, rank: int) -> SharedMemoryOutgoing:
        """Return the object that sends messages on `edge`. The rank is not used."""
        return SharedMemoryOutgoing(self.session, self.me, edge, self._pairs[edge.target])

    def incoming(self, edge: Edge, rank: int) -> SharedMemoryIncoming:
        """Return the object that receives messages on `edge`. The rank is not used."""
        return SharedMemoryIncoming(self.session, self.me, edge, self._pairs[edge.source])

    def close(self) -> None:
        """Wake the thread that waits for a message, if any, and close the pipes.

        Peers that wait for this worker get an error.
        """
        self._closing.close(list(self._pairs.values()))

    def _offer(self, layout: SharedLayout, name: bytes, to: str) -> SharedPair:
        with ExitStack() as scope:
            memory = os.memfd_create("antiphon")
            scope.callback(os.close, memory)
            os.posix_fallocate(memory, 0, layout.size)  # an error here, not a fatal signal in the middle of a round
            ours, theirs = pipes(scope, layout)
            peer = scope.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            peer.connect(name)
            socket.send_fds(peer, [self._hello(self.me, to)], [memory, *theirs])
            return SharedPair(layout, (memory, *ours), self.session.deadline, self._closing)

    def _accept(self, listener: socket.socket, missing: set[str]) -> None:
        end = time.monotonic() + self.session.deadline
        while missing:
            listener.settimeout(max(end - time.monotonic(), 0.001))
            try:
                visitor, _ = listener.accept()
            except TimeoutError:
                raise self._missing(missing) from None
            with visitor, ExitStack() as scope:
                if _user(visitor) != os.geteuid():
                    continue  # the names are no secret to other users of the machine
                visitor.settimeout(self.session.deadline)
                hello, passed, _, _ = socket.recv_fds(visitor, 1024, 3)
                for each in passed:
                    scope.callback(os.close, each)
                peer = next((name for name in missing if same_code(self._hello(name, self.me), hello)), None)
                if peer and len(passed) == 3:  # else it is no worker of this run
                    self._pairs[peer] = SharedPair(self._layouts[peer], passed, self.session.deadline, self._closing)
                    missing.remove(peer)

    def _hello(self, source: str, target: str) -> bytes:
        session = self.session
        return code(session.secret, "memory", session.signature, str(session.generation), source, target)

    def _missing(self, peers: set[str]) -> DeadlineError:
        return DeadlineError(
            f"worker {self.me!r} waited {self.session.deadline:g} s for {', '.join(map(repr, sorted(peers)))} to share "
            f"memory in generation {self.session.generation}. See what they are doing, or raise the deadline."
        )

    def _refused(self, error: OSError) -> TransportError:
        size, count = sum(layout.size for layout in self._layouts.values()), 3 * len(self._layouts) + 8
        return TransportError(
            f"worker {self.me!r} cannot share memory with {', '.join(map(repr, self._layouts))}: "
            f"{error.strerror or error}. Expected {size} bytes of memory and {count} file descriptors to be free. "
            "Raise the memory of the machine or container, or the limit of open files (ulimit -n)."
        )


def _user(visitor: socket.socket) -> int:
    """Return the user id of the process at the other end of a socket."""
    return struct.unpack("3i", visitor.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]


def _fault(session: Session, me: str, edge: Edge, round: int, error: Exception) -> AntiphonError:
    if isinstance(error, TimeoutError):
        return too_late(session, me, edge, round)
    return gone(me, edge, round, "it closed its channel, or its process has ended")
