"""The channel between processes: torch.distributed, point to point, over gloo or NCCL as each edge's route says."""

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.errors import ProtocolError, TransportError
from antiphon.transport.c10d import Store
from antiphon.transport.channel import check_value, no_such_edge
from antiphon.transport.codec import pack
from antiphon.transport.gloo import GlooLink
from antiphon.transport.link import Incoming, Link, Outgoing, Sum, brief
from antiphon.transport.message import Edge, Phase, Reduction, Session, value_type
from antiphon.transport.nccl import MakeGroup, NcclLink
from antiphon.transport.rendezvous import Address, gather, group_name, meet, peers_of, scope, store_client
from antiphon.transport.route import Route, Site, carrier, carrier_of_group
from antiphon.transport.staged import StagedLink


@final
class ProcessGroupChannel:
    """A worker's channel in a process group that is made at `open` and dropped at `close`. A process may hold several.

    ranks: of all workers of the run, 0 to n - 1. store_address: of the store that the coordinator serves.
    edges, reductions: may be those of all workers; the channel selects those of `me`.
    hostname: where peers reach this worker. run: unique among the runs on this store in this generation.
    device: where values come from and go to; the CPU by default. sites: of all workers; the default is a CPU.
    make: makes an NCCL group; torch's own by default.
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
        self._edges = tuple(edge for edge in edges if (edge.source == me) != (edge.target == me))
        self._hostname, self._device, self._run = hostname, device or torch.device("cpu"), run
        self._sites = {worker: (sites or {}).get(worker, Site(hostname)) for worker in ranks}
        self._make, self._links = make, {}
        self._outgoing: dict[int, Outgoing] = {}
        self._incoming: dict[int, Incoming] = {}
        self._reductions = tuple(reduction for reduction in reductions if me in reduction.workers)
        self._sums: dict[int, Sum] = {}

    def open(self) -> None:
        """Meet the peers in the store, agree on the edges, and connect to the peers that share an edge with `me`."""
        store = store_client(self._address, self._session.deadline)
        try:
            self._open(store)
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

    def send(self, edge: Edge, round: int, value: Tensor) -> int:
        """Copy the value and post it; see `Channel.send`."""
        outgoing = self._outgoing.get(edge.number)
        if outgoing is None:
            raise no_such_edge(self._me, edge, "send")
        check_value(edge, value)
        return outgoing.send(round, value)

    def receive(self, edge: Edge, round: int) -> Tensor:
        """Wait for the message; see `Channel.receive`."""
        incoming = self._incoming.get(edge.number)
        if incoming is None:
            raise no_such_edge(self._me, edge, "receive")
        return incoming.receive(round)

    def contribute(self, reduction: Reduction, round: int, value: Tensor) -> int:
        """Copy the term and post it; see `Channel.contribute`."""
        return self._sum(reduction).contribute(round, value)

    def collect(self, reduction: Reduction, round: int) -> Tensor:
        """Wait for the sum; see `Channel.collect`."""
        return self._sum(reduction).collect(round)

    def settle(self) -> None:
        """Wait for every send of this worker."""
        for outgoing in self._outgoing.values():
            outgoing.settle()
        for incoming in self._incoming.values():
            incoming.settle()

    def close(self) -> None:
        """Drop the group, with its sockets and threads. A wait in another thread lasts until its deadline."""
        self._outgoing, self._incoming, self._sums = {}, {}, {}
        links, self._links = self._links, {}
        for link, _ in links.values():
            link.close()

    def _open(self, store: Store) -> None:
        # This name leaves out the signature, so that workers of different grammars meet and can report it.
        meeting = scope(store, self._run, self._session.generation)
        meet(meeting, self._session, self._me, self._edges)
        peers = peers_of(self._me, self._edges)
        by_route = {peer: carrier(self._sites[self._me], self._sites[peer]) for peer in peers}
        own = scope(store, self._session.signature, self._session.generation, self._run)
        sums = {reduction.workers for reduction in self._reductions}
        nccl = Route.NCCL in by_route.values() or any(map(self._sums_over_nccl, sums))
        self._links = self._join(own, nccl)
        # Connecting reads the peer's address from the store, with a blocking wait. So the address must be there first.
        gather(meeting, self._session, self._me, peers, "joined")
        link_of = {peer: self._links[by_route[peer] is Route.NCCL] for peer in peers}
        for over_nccl, (link, ranks) in self._links.items():
            link.greet({peer: ranks[peer] for peer in peers if (by_route[peer] is Route.NCCL) == over_nccl})
        for edge in self._edges:
            link, ranks = link_of[edge.peer(self._me)]
            if edge.source == self._me:
                self._outgoing[edge.number] = link.outgoing(edge, ranks[edge.target])
            else:
                self._incoming[edge.number] = link.incoming(edge, ranks[edge.source])

        for workers in sorted({reduction.workers for reduction in self._reductions}):
            link, _ = self._links[self._sums_over_nccl(workers)]
            self._open_sums(meeting, link, workers)

    def _open_sums(self, meeting: Store, link: Link, workers: tuple[str, ...]) -> None:
        """Make one group for all sums of the same replicas, which first agree on them. A first sum connects it."""
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
        first = link.all_reduce(Reduction(-1, "hello", workers, Phase.RESPONSE, "first", torch.float32, ()), group)
        first.contribute(0, torch.ones(()))
        first.collect(0)
        self._sums |= {each.number: link.all_reduce(each, group) for each in mine}

    def _sum(self, reduction: Reduction) -> Sum:
        total = self._sums.get(reduction.number)
        if total is None:
            raise ProtocolError(
                f"worker {self._me!r} cannot take part in the sum {reduction.name!r} (number {reduction.number}, of "
                f"{', '.join(reduction.workers)}): its channel is not open, or was made without it. "
                "Open it first, with the reductions of the worker's own projection."
            )
        return total

    def _join(self, store: Store, nccl: bool) -> dict[bool, tuple[Link, Mapping[str, int]]]:
        """The gloo group of all workers (False) and, if needed, the NCCL group of those on CUDA (True), with ranks."""
        rank, size = self._ranks[self._me], len(self._ranks)
        gloo = GlooLink(self._session, self._me, rank, size, store, self._hostname, self._device)
        on_host = StagedLink(gloo, self._device) if self._on_cuda(self._me) else gloo
        links: dict[bool, tuple[Link, Mapping[str, int]]] = {False: (on_host, self._ranks)}
        if nccl:
            members = [worker for worker in sorted(self._ranks, key=self._ranks.__getitem__) if self._on_cuda(worker)]
            among = {worker: number for number, worker in enumerate(members)}
            mine = among[self._me], len(among)
            links[True] = (NcclLink(self._session, self._me, *mine, store, self._device, self._make), among)
        return links

    def _sums_over_nccl(self, workers: tuple[str, ...]) -> bool:
        return carrier_of_group([self._sites[worker] for worker in workers]) is Route.NCCL

    def _on_cuda(self, worker: str) -> bool:
        return self._sites[worker].kind != "cpu" and not self._sites[worker].counted
