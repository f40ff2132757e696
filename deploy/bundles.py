"""What a placement asks of the cluster, as bundles of a placement group. Values; nothing is asked yet."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from antiphon.coordinator.plan.placement import Placement, Strategy, WorkerResources

CPU, GPU = "CPU", "GPU"
_NAMES = {CPU: ("CPU", "CPUs"), GPU: ("GPU", "GPUs")}
TRACE = 0.001
"""Of a CPU, or of an address: what stands for nothing, since Ray takes no empty bundle. A thousand fit."""


@dataclass(frozen=True)
class Bundle:
    """Resources on one machine, and the workers who live there. node: an address or labels, as in `WorkerResources`."""

    workers: tuple[str, ...]
    resources: Mapping[str, float]
    node: str | tuple[tuple[str, str], ...] = ""

    @property
    def asked(self) -> dict[str, float]:
        """As Ray's placement groups take it: an address is a resource, too."""
        address = {f"node:{self.node}": TRACE} if self.node and isinstance(self.node, str) else {}
        return {**self.resources, **address} or {CPU: TRACE}

    @property
    def labels(self) -> dict[str, str]:
        """The labels that the machine must carry."""
        return {} if isinstance(self.node, str) else dict(self.node)


def bundles_of(placement: Placement) -> tuple[Bundle, ...]:
    """A bundle per worker; the coordinator, who asks for nothing, lives in the first.

    Under `pack`, all workers that ask nothing share one: of 1 CPU, or that of a worker who asks for CPUs.
    """
    alone = [Bundle((worker,), in_ray_terms(demand), demand.node) for worker, demand in placement.resources_of.items()]
    if placement.strategy is not Strategy.PACK:
        return tuple(alone)
    silent = tuple(name for each in alone if not each.resources and not each.node for name in each.workers)
    asking = [each for each in alone if each.resources or each.node]
    hosts = sorted((each for each in asking if CPU in each.resources), key=lambda each: bool(each.node))
    if not hosts:
        return (Bundle(silent, {CPU: 1.0}), *asking)
    host = Bundle((*hosts[0].workers, *silent), hosts[0].resources, hosts[0].node)
    return (host, *(each for each in asking if each is not hosts[0]))


def in_ray_terms(demand: WorkerResources) -> dict[str, float]:
    """Resources by Ray's names."""
    named = {CPU: demand.num_cpus, GPU: demand.num_gpus, **dict(demand.resources)}
    return {name: amount for name, amount in named.items() if amount}


def amount(name: str, value: float) -> str:
    """A number of a resource.

    >>> amount("CPU", 1.0), amount("GPU", 0.5), amount("fast", 2.0)
    ('1 CPU', '0.5 GPUs', "2 of 'fast'")
    """
    singular, plural = _NAMES.get(name, ("", ""))
    return f"{value:g} {singular if value == 1 else plural}" if singular else f"{value:g} of {name!r}"


def amounts(resources: Mapping[str, float]) -> str:
    """Several of them."""
    return ", ".join(amount(name, value) for name, value in resources.items()) or "nothing"


def devices(shares: Iterable[float]) -> int:
    """How many GPUs hold these demands: a fraction lies on one device. Largest first, as Ray fills them.

    >>> devices([0.5, 0.5, 2]), devices([0.6, 0.6, 0.3, 0.3]), devices([])
    (3, 2, 0)
    """
    free: list[float] = []
    demands = sorted((share for share in shares if share), reverse=True)
    for share in (each for each in demands if each < 1):
        at = next((index for index, rest in enumerate(free) if rest >= share - 1e-9), None)
        if at is None:
            free.append(1 - share)
        else:
            free[at] -= share
    return len(free) + sum(int(each) for each in demands if each >= 1)


def cpus_for(placement: Placement) -> int:
    """Logical CPUs of a Ray on which all of it fits and every process may start at once."""
    return max(math.ceil(_total(placement, CPU)), len(placement.names) + 1)


def gpus_for(placement: Placement) -> int | None:
    """GPUs to count where there are none; None where only real ones are to be used."""
    return devices(each.resources.get(GPU, 0.0) for each in bundles_of(placement)) if placement.logical_gpus else None


def _total(placement: Placement, name: str) -> float:
    return sum(each.resources.get(name, 0.0) for each in bundles_of(placement))
