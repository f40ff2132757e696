"""Computes how many machines a placement needs: first fit, the largest workers first."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from antiphon.coordinator.plan.placement import Placement, Strategy
from antiphon.deploy.bundles import CPU, GPU, Bundle, bundles_of
from antiphon.errors import PlacementError

_TINY = 1e-9
"""Tolerance for sums of fractions of a CPU or GPU."""


@dataclass(frozen=True)
class Size:
    """The size of one machine: CPUs, memory in GiB, and GPUs (only in groups whose workers ask for GPUs)."""

    cpus: int = 8
    gpus: int = 1
    memory: int = 16


@dataclass(frozen=True)
class MachineGroup:
    """A group of equal machines.

    workers: for each machine, the workers that fit on it; Ray may place them otherwise within the group. gpus: 0 if no
    worker asks for one. memory: GiB. resources: custom resources of each machine. labels: of the Ray node of each
    machine. address: of the only machine in this group, if the placement names it.
    """

    name: str
    workers: tuple[tuple[str, ...], ...]
    cpus: int
    gpus: int = 0
    memory: int = 0
    resources: tuple[tuple[str, float], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    address: str = ""

    @property
    def count(self) -> int:
        """The number of machines."""
        return len(self.workers)

    @property
    def everyone(self) -> str:
        """The names of the workers of this group, shortened for a reader."""
        names = [name for machine in self.workers for name in machine]
        return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


@dataclass
class _Machine:
    """The free resources of a machine. devices: free part of each GPU; Ray gives a part of one GPU, or whole GPUs."""

    cpus: float
    devices: list[float]
    workers: list[str] = field(default_factory=list)
    resources: dict[str, float] = field(default_factory=dict)

    def takes(self, bundle: Bundle) -> bool:
        """Put this bundle on the machine if it fits. Returns whether it did."""
        cpus, gpus = (bundle.resources.get(name, 0.0) for name in (CPU, GPU))
        chosen = self._devices(gpus)
        if cpus > self.cpus + _TINY or chosen is None:
            return False
        self.cpus -= cpus
        for index in chosen:
            self.devices[index] -= min(gpus, 1.0)
        self.workers += bundle.workers
        for name, amount in _own(bundle).items():
            self.resources[name] = self.resources.get(name, 0.0) + amount
        return True

    def _devices(self, gpus: float) -> list[int] | None:
        if not gpus:
            return []
        free = [index for index, left in enumerate(self.devices) if left + _TINY >= min(gpus, 1.0)]
        wanted = math.ceil(gpus)
        return free[:wanted] if len(free) >= wanted else None


def groups(placement: Placement, size: Size) -> tuple[MachineGroup, ...]:
    """Return groups of machines on which Ray can satisfy this placement.

    Workers share a group if they have the same labels, kinds of custom resources and address. Workers with and without
    GPUs are in different groups. With the strategies `spread` and `strict_spread` each worker gets its own machine.
    Raises PlacementError for a worker that does not fit on a machine of this size.
    """
    kinds: dict[tuple[object, ...], list[Bundle]] = {}
    for bundle in _bundles(placement, size):
        address = bundle.node if isinstance(bundle.node, str) else ""
        kind = address, labels_of(bundle), tuple(sorted(_own(bundle))), GPU in bundle.resources
        kinds.setdefault(kind, []).append(bundle)
    found: list[MachineGroup] = []
    for bundles in kinds.values():
        base = "gpu" if GPU in bundles[0].resources else "cpu"
        count = sum(group.name.startswith(base) for group in found) + 1
        machines = _filled(bundles, size, placement.strategy)
        found.append(_group(base if count == 1 else f"{base}-{count}", machines, bundles[0], size))
    return tuple(found)


def alike(placement: Placement, size: Size) -> MachineGroup:
    """Return one group of equal machines for all workers, because the machines of a Slurm job are equal.

    Raises PlacementError for a worker that does not fit on a machine of this size, and for contradictory labels.
    """
    bundles = _bundles(placement, size)
    labels: dict[str, str] = {}
    for bundle in bundles:
        for key, value in labels_of(bundle):
            if labels.setdefault(key, value) != value:
                raise PlacementError(
                    f"worker {bundle.workers[0]!r} asks for a node with the label {key}={value}, and another for "
                    f"{key}={labels[key]}; expected equal labels, for the machines of a Slurm job are alike. "
                    "Make a manifest for KubeRay or `ray up`, or leave one of the labels out."
                )
    machines = _filled(bundles, size, placement.strategy)
    gpus = size.gpus if any(GPU in bundle.resources for bundle in bundles) else 0
    return MachineGroup(
        "all", _workers(machines), size.cpus, gpus, size.memory, _most(machines), tuple(sorted(labels.items()))
    )


def refuse_addresses(placement: Placement, where: str) -> None:
    """Raise PlacementError if a worker is placed by the address of a machine. where: the platform, for the error."""
    for worker, demand in placement.resources_of.items():
        if isinstance(demand.node, str) and demand.node:
            raise PlacementError(
                f"worker {worker!r} is placed on the machine {demand.node!r}, and {where} tells addresses only once "
                "machines have started; expected labels there. Place it by labels, or make a manifest for `ray up`."
            )


def labels_of(bundle: Bundle) -> tuple[tuple[str, str], ...]:
    """Return the labels that the machine of this bundle must have, sorted."""
    return tuple(sorted(bundle.labels.items()))


def _own(bundle: Bundle) -> dict[str, float]:
    """Return the custom resources of a bundle."""
    return {name: amount for name, amount in bundle.resources.items() if name not in (CPU, GPU)}


def _bundles(placement: Placement, size: Size) -> list[Bundle]:
    """Return the bundles of the run, the largest first. Raises PlacementError for a bundle that fits on no machine."""
    bundles = [
        bundle if bundle.workers else replace(bundle, workers=("coordinator",)) for bundle in bundles_of(placement)
    ]
    for bundle in bundles:
        for name, has, option in ((CPU, size.cpus, "--machine-cpus"), (GPU, size.gpus, "--machine-gpus")):
            asked = bundle.resources.get(name, 0.0)
            if asked > has:
                raise PlacementError(
                    f"worker {bundle.workers[0]!r} asks for {asked:g} {name}s, and a machine has {has}; expected every "
                    f"worker to fit on one machine. Ask for larger machines, {option} {math.ceil(asked)}, or give the "
                    "worker less."
                )
    return sorted(bundles, key=lambda bundle: [-bundle.resources.get(name, 0.0) for name in (GPU, CPU)])


def _filled(bundles: Iterable[Bundle], size: Size, strategy: Strategy) -> list[_Machine]:
    machines: list[_Machine] = []
    for bundle in bundles:
        open_to_it = machines if strategy is Strategy.PACK else []
        if not any(machine.takes(bundle) for machine in open_to_it):
            machines.append(_Machine(size.cpus, [1.0] * size.gpus))
            machines[-1].takes(bundle)
    return machines


def _group(name: str, machines: list[_Machine], like: Bundle, size: Size) -> MachineGroup:
    address = like.node if isinstance(like.node, str) else ""
    if address and len(machines) > 1:
        raise PlacementError(
            f"the machine {address!r} is to hold {_listed(machines)}, which fill {len(machines)} machines of "
            f"{size.cpus} CPUs and {size.gpus} GPUs; expected them to fit on it. Move some of them, or say how large "
            "it is with --machine-cpus and --machine-gpus."
        )
    gpus = size.gpus if GPU in like.resources else 0
    return MachineGroup(
        name, _workers(machines), size.cpus, gpus, size.memory, _most(machines), labels_of(like), address
    )


def _workers(machines: Iterable[_Machine]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(each.workers) for each in machines)


def _most(machines: Iterable[_Machine]) -> tuple[tuple[str, float], ...]:
    """Return the largest amount of each custom resource that one of these machines needs."""
    found: dict[str, float] = {}
    for each in machines:
        found |= {name: max(amount, found.get(name, 0.0)) for name, amount in each.resources.items()}
    return tuple(sorted(found.items()))


def _listed(machines: Iterable[_Machine]) -> str:
    return ", ".join(repr(worker) for machine in machines for worker in machine.workers)
