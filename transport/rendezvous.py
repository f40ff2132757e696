"""Lets the workers of a run find each other in a TCP store, and compares the headers of their edges."""

import hashlib
import socket
import threading
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias, final

import msgpack

from antiphon.errors import CodecError, DeadlineError, ProtocolError, TransportError, unstopped
from antiphon.transport.c10d import FileStore, PrefixStore, Store, TCPStore
from antiphon.transport.codec import pack, pack_header, unpack_header
from antiphon.transport.listening import refuse
from antiphon.transport.message import Edge, Header, Session, expect

Address: TypeAlias = tuple[str, int]
"""Host and port of a store; or the path of a file that is the store, and 0."""
Facts: TypeAlias = Mapping[str, tuple[str, str, str, Header]]
"""Name, source, target and header of each edge, by the edge's number as text."""

_clients: dict[Address, Store] = {}
_connecting = threading.Lock()
_CLIENTS_KEPT = 2
_POLL = (0.0005, 0.02)  # seconds: first and longest pause between two checks of the store


@final
class StoreServer:
    """The store in which the workers of a run find each other. It serves while the object exists.

    host: address on which a TCP store listens. folder: if given, the store is a file in this folder instead, for
    workers of one machine. Only this user may have access to the folder, so that no other user reaches the store.
    address: the argument of `store_client` on the workers.

    The listening socket is made here: IPv4, bound to `host`. A TCPStore's own socket listens on every interface, and
    looks up the name of each peer's IPv4-in-IPv6 address. That can delay all workers by the resolver's timeout.
    """

    def __init__(self, host: str, folder: Path | None = None) -> None:
        self._listener = None
        if folder is not None:
            self.address: Address = str(folder / "store"), 0
            return
        listener = socket.create_server((host, 0), backlog=1024)
        self.address = host, listener.getsockname()[1]
        self._listener = listener.dup()
        weakref.finalize(self, self._listener.close)
        descriptor = listener.detach()
        self._store = TCPStore(*self.address, is_master=True, wait_for_workers=False, master_listen_fd=descriptor)

    def refuse(self) -> None:
        """Accept no new connections from now on. Call this when all workers are connected. Their connections stay."""
        if self._listener is not None:
            refuse(self._listener)


def store_client(address: Address, seconds: float) -> Store:
    """Return a connection to the store at `address`. Raises TransportError if no store answers within `seconds`.

    A process keeps one connection per address, because a new connection costs a name lookup. A kept connection is
    tested before use, because another store may now have the address.
    """
    with _connecting:
        client = _clients.get(address)
        if client is None or not _answers(client):
            client = _clients[address] = _connect(address, seconds)
            for old in list(_clients)[:-_CLIENTS_KEPT]:
                del _clients[old]
        return client


def meet(store: Store, session: Session, me: str, edges: Sequence[Edge]) -> None:
    """Publish this worker's edges, wait for its peers, and check that both workers of each edge declare it equally."""
    facts = pack({str(edge.number): _facts(session, edge) for edge in edges})
    for peer, theirs in gather(store, session, me, peers_of(me, edges), "edges", facts).items():
        _agree(session, me, peer, [edge for edge in edges if edge.peer(me) == peer], _read(me, peer, theirs))


def gather(
    store: Store, session: Session, me: str, peers: Sequence[str], what: str, mine: bytes = b"here"
) -> dict[str, bytes]:
    """Publish the bytes `mine` under the name `what`, and return the bytes that each peer publishes under it, by peer.

    Blocks up to the deadline, then raises DeadlineError. The store's own waits are not used, because they would block
    the connection that all threads of a process share.
    """
    store.set(f"{what}/{me}", mine)  # pyright: ignore[reportArgumentType]  (bytes are taken too)
    # All keys in one request. The store has one thread; separate requests take fifteen times as long.
    keys, end, pause = [f"{what}/{peer}" for peer in peers], time.monotonic() + session.deadline, _POLL[0]
    while not store.check(keys):
        late = time.monotonic() > end
        if late and (missing := [peer for peer in sorted(peers) if not store.check([f"{what}/{peer}"])]):
            names = ", ".join(map(repr, missing))
            raise DeadlineError(
                f"worker {me!r} waited {session.deadline:g} s for {names} to open a channel in generation "
                f"{session.generation}. See whether all workers were started, or raise the deadline."
            )
        time.sleep(pause)
        pause = min(2 * pause, _POLL[1])
    return dict(zip(peers, store.multi_get(keys), strict=True))


def stranger(session: Session, me: str, peer: str) -> ProtocolError:
    """Return the error for a connection whose other end should be `peer`, and does not know the run's secret."""
    return ProtocolError(
        f"worker {me!r} refused a connection of a process that says it is worker {peer!r}: expected this run's "
        f"authentication code for generation {session.generation}; arrived another. A process that does not belong to "
        "the run has connected first: close the workers' ports to others (docs/security.md)."
    )


def peers_of(me: str, edges: Iterable[Edge]) -> list[str]:
    """Return the workers with which `me` shares an edge, sorted by name."""
    return sorted({edge.peer(me) for edge in edges} - {me})


def group_name(workers: Sequence[str]) -> str:
    """Return a short name for a group of workers.

    With full names, the total length of the keys in the store would grow with the square of the group's size.
    """
    return hashlib.sha256("/".join(workers).encode()).hexdigest()[:16]


def scope(store: Store, *parts: object) -> PrefixStore:
    """Return a view of the store in which every key gets the prefix `parts`, joined by slashes."""
    return PrefixStore("/".join(map(str, parts)), store)


def _connect(address: Address, seconds: float) -> Store:
    path, port = address
    if not port:
        return FileStore(path, -1)  # of a number of workers that it need not know
    try:
        return TCPStore(*address, is_master=False, timeout=timedelta(seconds=seconds))
    except RuntimeError as error:
        raise TransportError(
            f"no store answered at {address[0]}:{address[1]} within {seconds:g} s. "
            "Expected the one that the coordinator serves; see whether it lives and whether a firewall is between."
        ) from error


def _answers(client: Store) -> bool:
    try:
        client.check(["alive"])
    except RuntimeError:
        return False
    return True


def _facts(session: Session, edge: Edge) -> list[Any]:  # Any: texts and bytes, for msgpack
    return [edge.name, edge.source, edge.target, pack_header(Header.of(session, edge, 0))]


def _read(me: str, peer: str, published: bytes) -> Facts:
    """Return the edges that `peer` published. Raises ProtocolError unless every field has its type."""
    try:
        found = msgpack.unpackb(published)
        if not isinstance(found, dict):
            raise TypeError(f"{type(found).__name__} instead of a mapping")
        return {str(int(number)): _edge_read(*fields) for number, fields in found.items()}
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException, CodecError) as error:
        raise ProtocolError(
            f"worker {me!r} cannot read the edges that worker {peer!r} published: {unstopped(error)}. Expected number, "
            "name, two workers and header of each edge. Run one antiphon on all workers."
        ) from error


def _edge_read(name: object, source: object, target: object, header: object) -> tuple[str, str, str, Header]:
    if not (isinstance(name, str) and isinstance(source, str) and isinstance(target, str)):
        raise TypeError(f"{[name, source, target]!r} instead of three texts")
    if not isinstance(header, bytes):
        raise TypeError(f"a header of type {type(header).__name__}")
    return name, source, target, unpack_header(header)


def _agree(session: Session, me: str, peer: str, edges: Sequence[Edge], theirs: Facts) -> None:
    """Raise an error if `me` and `peer` declare their common edges differently.

    theirs: the edges that the peer published.
    """
    for edge in edges:
        facts = theirs.get(str(edge.number))
        if facts is None:
            raise _disagreement(me, peer, f"edge {edge.name!r} (number {edge.number})", "no such edge")
        expect(facts[3], session, edge, 0)
        if tuple(facts[:3]) != (edge.name, edge.source, edge.target):
            raise _disagreement(me, peer, _course(edge.name, edge.source, edge.target), _course(*facts[:3]))
    ours = {str(edge.number) for edge in edges}
    for number, (name, source, target, _) in theirs.items():
        if me in (source, target) and number not in ours:
            raise _disagreement(me, peer, f"no edge of number {number}", _course(name, source, target))


def _disagreement(me: str, peer: str, expected: str, arrived: str) -> ProtocolError:
    return ProtocolError(
        f"worker {me!r} and worker {peer!r} disagree on their edges: expected {expected}; arrived {arrived}. "
        "Project all workers from the same schedule."
    )


def _course(name: str, source: str, target: str) -> str:
    return f"edge {name!r} from {source!r} to {target!r}"
