"""Chooses what carries an edge. Each worker publishes where it computes; both ends apply the same rule to these sites.

CUDA IPC between workers that share a device was considered and rejected. It would save two copies over PCIe. But to
open a handle, both containers need the same user and the same devices. Every buffer would need an inter-process event.
And the exporting process must outlive each reader: after a crash, the reader's next access is a device fault, not an
error with a name. Workers that share a device are small; large workers have devices of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations


class Route(StrEnum):
    """What carries the messages of an edge.

    MEMORY: between workers on CPUs that share memory. GLOO: between other workers on CPUs. HOST: gloo, with a pinned
    host copy at each device. NCCL: between devices.
    """

    MEMORY = "memory"
    GLOO = "gloo"
    HOST = "host"
    NCCL = "nccl"


@dataclass(frozen=True, slots=True)
class Site:
    """Where one worker computes.

    address: of its machine. kind: torch's type of its device, "cpu" or "cuda". gpu: UUID of the device. bus: its
    address on the machine's PCI bus; empty if unknown. counted: the device is only counted and does not exist. Then
    routes are chosen as if it existed, and gloo carries everything.
    """

    address: str
    kind: str = "cpu"
    gpu: str = ""
    bus: str = ""
    counted: bool = False
    memory: str = ""

    def shares(self, other: "Site") -> bool:
        """Whether both sites are the same device: the same UUID, or the same PCI bus address on the same machine.

        NCCL identifies devices by host and bus only. To NCCL two slices of one GPU are the same device, although each
        has a UUID.
        """
        if "cpu" in (self.kind, other.kind):
            return False
        there = bool(self.bus) and (self.address, self.bus) == (other.address, other.bus)
        return self.gpu == other.gpu or there


def route(source: Site, target: Site) -> Route:
    """The route between two workers. It is the same in both directions.

    >>> one, two = (Site("10.0.0.1", "cuda", gpu) for gpu in ("GPU-1", "GPU-2"))
    >>> route(one, two), route(one, one), route(one, Site("10.0.0.1"))
    (<Route.NCCL: 'nccl'>, <Route.HOST: 'host'>, <Route.HOST: 'host'>)
    """
    kinds = {source.kind, target.kind}
    if kinds == {"cpu"}:
        return _between_hosts([source, target])
    return Route.NCCL if kinds == {"cuda"} and not source.shares(target) else Route.HOST


def route_of_group(sites: Sequence[Site]) -> Route:
    """The route of a collective: NCCL if each worker has its own CUDA device, HOST if only some have one.

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
    """The backend that carries a collective: the group's route, or that between CPUs if devices are only counted."""
    return _between_hosts(sites) if any(site.counted for site in sites) else route_of_group(sites)


def carrier(source: Site, target: Site) -> Route:
    """The backend that carries messages between two workers: their route, or that between CPUs (see above)."""
    return _between_hosts([source, target]) if source.counted or target.counted else route(source, target)


def backend(route: Route) -> Route:
    """The route whose backend carries this one: gloo carries HOST."""
    return Route.GLOO if route is Route.HOST else route


def _between_hosts(sites: Sequence[Site]) -> Route:
    domains = {site.memory for site in sites}
    return Route.MEMORY if len(domains) == 1 and domains != {""} else Route.GLOO
