"""The channel between processes. Each edge uses shared memory, gloo or NCCL, depending on the sites of its workers."""

from collections.abc import Mapping, Sequence
from typing import cast, final

import torch
from torch import Tensor

from antiphon.errors import ProtocolError, TransportError
from antiphon.transport.authenticated_store import AuthenticatedStore
from antiphon.transport.c10d import Store
from antiphon.transport.channel import check_value, no_such_edge
from antiphon.transport.codec import pack
from antiphon.transport.gloo import GlooLink
from antiphon.transport.link import Incoming, Link, Outgoing, ReplicaSum, SummingLink, brief
from antiphon.transport.listening import refuse_where
from antiphon.transport.memory import Value
from antiphon.transport.message import Edge, Phase, Reduction, Session, value_type
from antiphon.transport.nccl import MakeGroup, NcclLink
from antiphon.transport.pairwise import Pairwise, PairwiseSum
from antiphon.transport.rendezvous import Address, gather, group_name, meet, peers_of, scope, store_client
from antiphon.transport.route import Route, Site, backend, carrier, carrier_of_group
from antiphon.transport.shared_memory import SharedMemoryLink


@final
class ProcessGroupChannel:
    """A worker's channel over process groups, which `open` makes and `close` drops.

    A process may hold several channels.
    ranks: ranks of all workers of the run, 0 to n - 1. store_address: address of the TCP store that the coordinator
    serves.
    edges, reductions: edges and all-reduces of all workers; the channel uses those in which worker `me` takes part.
    hostname: where peers reach this worker. run: unique among the runs on this store in this generation.
    device: device of the values that are sent and received; the CPU by default. sites: machine and device of each
    worker; a CPU by default. make: a function that makes an NCCL group; torch's own by default.
    """

    def __init__(
        self,
        session: Session,
        me: str,
        ranks: Mapping[str, int],
        store_address: Address,
        edges: Sequence[Edge],
        hostname: str,
        run: str = "run",
        reductions: Sequence[Reduction] = (),
        device: torch.device | None = None,
        sites: Mapping[str, Site] | None = None,
        make: MakeGroup | None = None,
    ) -> None:
        self._session, self._me, self._ranks, self._address = session, me, dict(ranks), store_address
        self._hostname, self._device, self._run = hostname, device or torch.device("cpu"), run
        self._sites = {worker: (sites or {}).get(worker, Site(hostname)) for worker in ranks}
        self._make, self._links = make, {}
        own = [reduction for reduction in reductions if me in reduction.workers]
        self._shared = [each for each in own if self._carrier_of(each.workers) is Route.MEMORY]
        self._reductions = [each for each in own if each not in self._shared]
        terms = [edge for reduction in self._shared for edge in reduction.edges_of(me)]
        self._edges = [*(edge for edge in edges if (edge.source == me) != (edge.target == me)), *terms]
        self._outgoing: dict[int, Outgoing] = {}
        self._incoming: dict[int, Incoming] = {}
        self._sums: dict[int, ReplicaSum] = {}

    def open(self) -> None:
        """Find the peers in the store, compare this worker's edges with theirs, and connect.

        Blocks up to the deadline.
        """
        store = store_client(self._address, self._session.deadline)
        self._store = AuthenticatedStore(store, self._session.secret, self._me)
        try:
            self._open(self._store, store)
            refuse_where(self._store.written)
        except RuntimeError as error:
            self.close()
            raise TransportError(
                f"worker {self._me!r} could not open its channel in generation {self._session.generation} "
                f"over the store at {self._address[0]}:{self._address[1]}: {brief(str(error))}. "
                "See whether the coordinator lives and this worker's host name is its own."
            ) from error
        except BaseException:
            self.close()
            raise

    def send(self, edge: Edge, round: int, value: Value) -> int:
        """Copy the value into a buffer and start to send it. Returns the bytes sent.

        The caller may overwrite the value when the call returns.
        """
        outgoing = self._outgoing.get(edge.number)
        if outgoing is None:
            raise no_such_edge(self._me, edge, "send")
        check_value(edge, value)
        return outgoing.send(round, value)

    def receive(self, edge: Edge, round: int) -> Tensor:
        """Wait for the message of this round, up to the deadline.

        Returns its value, valid until the next receive of this edge.
        """
        incoming = self._incoming.get(edge.number)
        if incoming is None:
            raise no_such_edge(self._me, edge, "receive")
        return incoming.receive(round)

    def contribute(self, reduction: Reduction, round: int, value: Tensor) -> int:
        """Copy this worker's term of an all-reduce and start to send it. Returns the bytes sent."""
        return self._sum(reduction).contribute(round, value)

    def collect(self, reduction: Reduction, round: int) -> Tensor:
        """Wait for this round's all-reduce, up to the deadline.

        Returns the sum, valid until the next collect of this reduction.
        """
        return self._sum(reduction).collect(round)

    def settle(self) -> None:
        """Wait until all sent messages of this worker have left their buffers."""
        for outgoing in self._outgoing.values():
            outgoing.settle()
        for incoming in self._incoming.values():
            incoming.settle()

    def close(self) -> None:
        """Drop all connections. A wait in another thread may last until its deadline."""
        self._outgoing, self._incoming, self._sums = {}, {}, {}
        links, self._links = self._links, {}
        for link in links.values():
            link.close()

    def _open(self, store: AuthenticatedStore, plain: Store) -> None:
        """Connect to all peers. plain: the store without authentication, for NCCL, which uses other threads."""
        # This name leaves out the signature, so that workers of different grammars meet and can report it.
        meeting = scope(store, self._run, self._session.generation)
        meet(meeting, self._session, self._me, self._edges)
        peers = peers_of(self._me, self._edges)
        routes = {peer: backend(carrier(self._sites[self._me], self._sites[peer])) for peer in peers}
        groups = {
            workers: backend(self._carrier_of(workers)) for workers in {each.workers for each in self._reductions}
        }
        own = self._session.signature, self._session.generation, self._run
        self._links = {
            route: self._link(route, scope(plain if route is Route.NCCL else store, *own))
            for route in sorted({*routes.values(), *map(backend, groups.values())})
        }
        # Connecting reads the peer's address from the store, with a blocking wait. So the address must be there first.
        gather(meeting, self._session, self._me, peers, "joined")
        for route, link in self._links.items():
            link.greet({peer: self._rank(route, peer) for peer in peers if routes[peer] is route})
        for edge in self._edges:
            peer = edge.peer(self._me)
            link, rank = self._links[routes[peer]], self._rank(routes[peer], peer)
            if edge.source == self._me:
                self._outgoing[edge.number] = link.outgoing(edge, rank)
            else:
                self._incoming[edge.number] = link.incoming(edge, rank)
        for workers, route in sorted(groups.items()):
            self._open_sums(meeting, cast(SummingLink, self._links[route]), workers)
        pairwise = Pairwise(self._me, self.send, self.receive)
        self._sums |= {each.number: PairwiseSum(pairwise, each) for each in self._shared}

    def _open_sums(self, meeting: Store, link: SummingLink, workers: tuple[str, ...]) -> None:
        """Make one process group for all all-reduces among `workers`, and the objects that take part in them.

        The workers first check that they plan the same all-reduces. Then a trial all-reduce makes their connections.
        """
        mine = [reduction for reduction in self._reductions if reduction.workers == workers]
        group, others = link.replicas(workers), [worker for worker in workers if worker != self._me]
        facts = pack([[each.number, each.name, value_type(each.dtype, each.shape)] for each in mine])
        what = f"sums/{group_name(workers)}"
        for other, theirs in gather(meeting, self._session, self._me, others, what, facts).items():
            if theirs != facts:
                raise ProtocolError(
                    f"replicas {self._me!r} and {other!r} disagree on their sums: expected "
                    f"{[each.name for each in mine]} of {len(mine)} types, and others arrived. "
                    "Project all workers from the same schedule."
                )
        link.greet_replicas(workers, group)
        first = link.all_reduce(Reduction(-1, "hello", workers, Phase.RESPONSE, "first", torch.float32, ()), group)
        first.contribute(0, torch.ones(()))
        first.collect(0)
        self._sums |= {each.number: link.all_reduce(each, group) for each in mine}

    def _sum(self, reduction: Reduction) -> ReplicaSum:
        total = self._sums.get(reduction.number)
        if total is None:
            raise ProtocolError(
                f"worker {self._me!r} cannot take part in the sum {reduction.name!r} (number {reduction.number}, of "
                f"{', '.join(reduction.workers)}): its channel is not open, or was made without it. "
                "Open it first, with the reductions of the worker's own projection."
            )
        return total

    def _link(self, route: Route, store: Store) -> Link:
        """Return a new object for the connections of this worker over one backend. route: names the backend."""
        rank = self._rank(route, self._me)
        match route:
            case Route.MEMORY:
                return self._memory(store)
            case Route.NCCL:
                size = len(self._ranks_of(route))
                return NcclLink(self._session, self._me, rank, size, store, self._device, self._make)
        device = self._device if self._on_cuda(self._me) else None
        return GlooLink(self._session, self._me, rank, len(self._ranks), store, self._hostname, device)

    def _memory(self, store: Store) -> SharedMemoryLink:
        here = self._sites[self._me]
        peers = {name for name, site in self._sites.items() if carrier(here, site) is Route.MEMORY}
        edges = [edge for edge in self._edges if edge.peer(self._me) in peers]
        return SharedMemoryLink(self._session, self._me, edges, store)

    def _rank(self, route: Route, worker: str) -> int:
        return self._ranks_of(route)[worker]

    def _ranks_of(self, route: Route) -> Mapping[str, int]:
        """Return the ranks of the workers in a backend's group. NCCL's group has only the workers on CUDA devices."""
        if route is not Route.NCCL:
            return self._ranks
        members = [worker for worker in sorted(self._ranks, key=self._ranks.__getitem__) if self._on_cuda(worker)]
        return {worker: number for number, worker in enumerate(members)}

    def _carrier_of(self, workers: tuple[str, ...]) -> Route:
        return carrier_of_group([self._sites[worker] for worker in workers])

    def _on_cuda(self, worker: str) -> bool:
        return self._sites[worker].kind != "cpu" and not self._sites[worker].counted
