"""Chooses the backend for each edge, from the machine and device ("site") of both workers. Both ends use the same rule.

CUDA IPC between workers that share a device was considered and rejected. It would save two copies over PCIe. But to
open a handle, both containers need the same user and the same devices. Every buffer would need an inter-process event.
And the exporting process must outlive each reader. After a crash of the exporter, the reader's next access is a device
fault, not an error that names the worker. Workers that share a device are small; large workers have their own devices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations


class Route(StrEnum):
    """The kinds of connections that can carry the messages of an edge.

    MEMORY: shared memory, between workers on CPUs that can share it. GLOO: gloo, between other workers on CPUs. HOST:
    gloo, with a pinned copy in host memory at each device. NCCL: between devices.
    """

    MEMORY = "memory"
    GLOO = "gloo"
    HOST = "host"
    NCCL = "nccl"


@dataclass(frozen=True, slots=True)
class Site:
    """The machine and device of one worker.

    address: address of its machine. kind: torch's type of its device, "cpu" or "cuda". gpu: UUID of the device. bus:
    its address on the machine's PCI bus; empty if unknown. counted: whether the GPU does not exist, because
    Ray was told to give out GPUs that the machine lacks. `route` treats such a GPU as a real one, but messages are sent
    as between CPUs. memory: name of the group of processes with which the worker can share memory; empty if there is
    none.
    """

    address: str
    kind: str = "cpu"
    gpu: str = ""
    bus: str = ""
    counted: bool = False
    memory: str = ""

    def shares(self, other: "Site") -> bool:
        """Return whether both sites have the same device: the same UUID, or machine and PCI bus address.

        NCCL identifies devices by host and bus only. To NCCL two slices of one GPU are the same device, although each
        has a UUID.
        """
        if "cpu" in (self.kind, other.kind):
            return False
        there = bool(self.bus) and (self.address, self.bus) == (other.address, other.bus)
        return self.gpu == other.gpu or there


def route(source: Site, target: Site) -> Route:
    """Return the route between two workers. It is the same in both directions.

    >>> one, two = (Site("10.0.0.1", "cuda", gpu) for gpu in ("GPU-1", "GPU-2"))
    >>> route(one, two), route(one, one), route(one, Site("10.0.0.1"))
    (<Route.NCCL: 'nccl'>, <Route.HOST: 'host'>, <Route.HOST: 'host'>)
    """
    kinds = {source.kind, target.kind}
    if kinds == {"cpu"}:
        return _between_hosts([source, target])
    return Route.NCCL if kinds == {"cuda"} and not source.shares(target) else Route.HOST


def route_of_group(sites: Sequence[Site]) -> Route:
    """Return the route of a collective: NCCL if each worker has its own CUDA device, HOST if only some have one.

    Without devices it is MEMORY if all workers share memory, else GLOO.

    >>> route_of_group([Site("10.0.0.1", "cuda", gpu) for gpu in ("GPU-1", "GPU-2", "GPU-1")])
    <Route.HOST: 'host'>
    """
    kinds = {site.kind for site in sites}
    if kinds <= {"cpu"}:
        return _between_hosts(sites)
    apart = not any(one.shares(other) for one, other in combinations(sites, 2))
    return Route.NCCL if kinds == {"cuda"} and apart else Route.HOST


def carrier_of_group(sites: Sequence[Site]) -> Route:
    """Return the transport that a collective of the workers at `sites` uses.

    `route_of_group` chooses it, with one exception. In a trial without GPUs, Ray gives workers GPUs that do not exist
    (`Site.counted`). If `sites` has such a worker, the transport between CPUs is used.
    """
    return _between_hosts(sites) if any(site.counted for site in sites) else route_of_group(sites)


def carrier(source: Site, target: Site) -> Route:
    """Return the transport that messages from worker `source` to worker `target` use.

    `route` chooses it, with one exception. In a trial without GPUs, Ray gives workers GPUs that do not exist
    (`Site.counted`). If one of the two workers has such a GPU, the transport between CPUs is used.
    """
    return _between_hosts([source, target]) if source.counted or target.counted else route(source, target)


def backend(route: Route) -> Route:
    """Return the backend that carries this route: GLOO for the route HOST, else the backend of the same name."""
    return Route.GLOO if route is Route.HOST else route


def _between_hosts(sites: Sequence[Site]) -> Route:
    domains = {site.memory for site in sites}
    return Route.MEMORY if len(domains) == 1 and domains != {""} else Route.GLOO
