"""What carries an edge: a value per worker that says where it computes, and one rule that both ends apply to the two.

CUDA IPC between workers that share a device was weighed and left out. It would save two copies over PCIe, but opening a
handle needs one user and one machine's devices in both containers, every buffer would need an inter-process event, and
the exporting process has to outlive each reader: after a crash the survivor's next access is a fault of the device, not
an error with a name. Workers that share a device are the small ones; large ones have devices of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations


class Route(StrEnum):
    """GLOO: between workers on CPUs. HOST: gloo, with a pinned host copy at each end that is a device. NCCL: from
    device to device."""

    GLOO = "gloo"
    HOST = "host"
    NCCL = "nccl"


@dataclass(frozen=True, slots=True)
class Site:
    """Where one worker computes.

    address: of its machine. kind: torch's type of its device, "cpu" or "cuda". gpu: what no other device bears, its
    UUID. bus: its place on its machine's PCI bus, empty if unknown. counted: the device is counted and not there, as
    in a rehearsal: routes are chosen as if it were, and gloo carries everything.
    """

    address: str
    kind: str = "cpu"
    gpu: str = ""
    bus: str = ""
    counted: bool = False

    def shares(self, other: "Site") -> bool:
        """Whether both are one device: the same UUID, or the same place on one machine's bus.

        NCCL tells devices by host and bus alone, so that two slices of one GPU, each with a UUID, are one to it.
        """
        if "cpu" in (self.kind, other.kind):
            return False
        there = bool(self.bus) and (self.address, self.bus) == (other.address, other.bus)
        return self.gpu == other.gpu or there


def route(source: Site, target: Site) -> Route:
    """The route between two workers, the same in both directions.

    >>> one, two = (Site("10.0.0.1", "cuda", gpu) for gpu in ("GPU-1", "GPU-2"))
    >>> route(one, two), route(one, one), route(one, Site("10.0.0.1"))
    (<Route.NCCL: 'nccl'>, <Route.HOST: 'host'>, <Route.HOST: 'host'>)
    """
    kinds = {source.kind, target.kind}
    if kinds == {"cpu"}:
        return Route.GLOO
    return Route.NCCL if kinds == {"cuda"} and not source.shares(target) else Route.HOST


def route_of_group(sites: Sequence[Site]) -> Route:
    """The route of a collective among workers: NCCL if each has a CUDA device of its own, GLOO if none has a device.

    >>> route_of_group([Site("10.0.0.1", "cuda", gpu) for gpu in ("GPU-1", "GPU-2", "GPU-1")])
    <Route.HOST: 'host'>
    """
    kinds = {site.kind for site in sites}
    if kinds <= {"cpu"}:
        return Route.GLOO
    apart = not any(one.shares(other) for one, other in combinations(sites, 2))
    return Route.NCCL if kinds == {"cuda"} and apart else Route.HOST


def carrier_of_group(sites: Sequence[Site]) -> Route:
    """What carries a collective now: the group's route, or gloo where devices are only counted."""
    return Route.GLOO if any(site.counted for site in sites) else route_of_group(sites)


def carrier(source: Site, target: Site) -> Route:
    """What carries messages between two workers now: their route, or gloo where devices are only counted."""
    return Route.GLOO if source.counted or target.counted else route(source, target)
