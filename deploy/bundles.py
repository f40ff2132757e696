"""The resources that a placement needs, as bundles of a Ray placement group. They are data; nothing is reserved."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from antiphon.coordinator.plan.placement import Placement, Strategy, WorkerResources

CPU, GPU = "CPU", "GPU"
_NAMES = {CPU: ("CPU", "CPUs"), GPU: ("GPU", "GPUs")}
TRACE = 0.001
"""An amount of a CPU or of an address resource that stands for "nothing", because Ray accepts no empty bundle.

A thousand such bundles fit on one CPU.
"""


@dataclass(frozen=True)
class Bundle:
    """Resources on one machine, and the workers that use them.

    node: address of the machine, or labels that the machine must have; empty for any machine.
    """

    workers: tuple[str, ...]
    resources: Mapping[str, float]
    node: str | tuple[tuple[str, str], ...] = ""

    @property
    def asked(self) -> dict[str, float]:
        """The resources of this bundle, in the form that a Ray placement group takes.

        The address of a node is a resource too.
        """
        address = {f"node:{self.node}": TRACE} if self.node and isinstance(self.node, str) else {}
        return {**self.resources, **address} or {CPU: TRACE}

    @property
    def labels(self) -> dict[str, str]:
        """The labels that a machine must have to hold this bundle; empty if any machine may hold it."""
        return {} if isinstance(self.node, str) else dict(self.node)


def bundles_of(placement: Placement) -> tuple[Bundle, ...]:
    """Return the bundles of a placement, one per worker. The coordinator needs no resources and uses the first bundle.

    With the strategy `pack`, all workers that ask for no resources share one bundle: the bundle of a worker with CPUs,
    or a new bundle of 1 CPU.
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
    """Return the resources of a worker by Ray's names, without zeros."""
    named = {CPU: demand.num_cpus, GPU: demand.num_gpus, **dict(demand.resources)}
    return {name: amount for name, amount in named.items() if amount}


def amount(name: str, value: float) -> str:
    """Return an amount of a resource as text.

    >>> amount("CPU", 1.0), amount("GPU", 0.5), amount("fast", 2.0)
    ('1 CPU', '0.5 GPUs', "2 of 'fast'")
    """
    singular, plural = _NAMES.get(name, ("", ""))
    return f"{value:g} {singular if value == 1 else plural}" if singular else f"{value:g} of {name!r}"


def amounts(resources: Mapping[str, float]) -> str:
    """Return the amounts of several resources as one text; "nothing" if there are none."""
    return ", ".join(amount(name, value) for name, value in resources.items()) or "nothing"


def devices(shares: Iterable[float]) -> int:
    """Return the number of GPUs that all demands in `shares` need. A fraction is placed on one GPU, the largest first.

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
    """Return how many logical CPUs Ray needs for a placement, and to start all of its processes at the same time."""
    return max(math.ceil(_total(placement, CPU)), len(placement.names) + 1)


def gpus_for(placement: Placement) -> int | None:
    """Return how many logical GPUs Ray must count for the placement; None if only real GPUs are used."""
    return devices(each.resources.get(GPU, 0.0) for each in bundles_of(placement)) if placement.logical_gpus else None


def _total(placement: Placement, name: str) -> float:
    return sum(each.resources.get(name, 0.0) for each in bundles_of(placement))
