"""Compute how many machines a placement needs, by bin packing (first fit, the largest workers first)."""

import json
import math
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace

from antiphon.coordinator.plan.placement import Placement, Strategy
from antiphon.deploy.bundles import CPU, GPU, Bundle, bundles_of, devices
from antiphon.errors import PlacementError

_TINY = 1e-9
"""Tolerance for sums of fractions of a CPU or GPU."""


@dataclass(frozen=True)
class Size:
    """The size of one machine of a cluster: CPUs, memory in GiB, and GPUs (if a worker on it needs GPUs)."""

    cpus: int = 8
    gpus: int = 1
    memory: int = 16


@dataclass(frozen=True)
class MachineGroup:
    """A group of equal machines of a cluster.

    workers: for each machine, the names of the workers that fit on it; Ray may distribute them otherwise in the group.
    cpus, gpus: CPUs and GPUs of each machine; gpus is 0 if no worker needs one. memory: memory of each machine, in GiB.
    resources: custom Ray resources of each machine. labels: labels of each machine's Ray node.
    address: address of the single machine of the group, if the placement names it; else "".
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
        """The number of machines in the group."""
        return len(self.workers)

    @property
    def everyone(self) -> str:
        """The names of the workers of this group as text: at most eight names, then the number of further workers."""
        names = [name for machine in self.workers for name in machine]
        return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")

    @property
    def options(self) -> str:
        """The options of `ray start` that set the labels and resources of a machine, quoted for a shell; "" if none."""
        labels = ",".join(f"{key}={value}" for key, value in self.labels)
        resources = json.dumps(dict(self.resources)) if self.resources else ""
        given = {"labels": labels, "resources": resources}
        return " ".join(shlex.quote(f"--{name}={value}") for name, value in given.items() if value)


def groups(placement: Placement, size: Size) -> tuple[MachineGroup, ...]:
    """Return groups of machines on which Ray can satisfy a placement.

    size: size of one machine. Workers share a group if they have the same labels, kinds of custom resources and
    address. Workers with and without GPUs are in different groups. With the strategies `spread` and `strict_spread`
    each worker gets its own machine. Raises PlacementError for a worker that does not fit on a machine of this size.
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
        address = bundles[0].node if isinstance(bundles[0].node, str) else ""
        if address and len(machines) > 1:
            listed = ", ".join(repr(worker) for each in bundles for worker in each.workers)
            raise PlacementError(
                f"the machine {address!r} is to hold {listed}, which fill {len(machines)} machines of {size.cpus} CPUs "
                f"and {size.gpus} GPUs; expected them to fit on it. Move some of them, or say how large it is with "
                "--machine-cpus and --machine-gpus."
            )
        name = base if count == 1 else f"{base}-{count}"
        found.append(_group(name, machines, size, labels_of(bundles[0]), address))
    return tuple(found)


def alike(placement: Placement, size: Size) -> MachineGroup:
    """Return one group of equal machines for all workers of a placement, because the machines of a Slurm job are equal.

    size: size of one machine. Raises PlacementError for a worker that does not fit on such a machine, and for
    contradictory labels.
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
    return _group("all", _filled(bundles, size, placement.strategy), size, tuple(sorted(labels.items())))


def refuse_addresses(placement: Placement, where: str) -> None:
    """Raise PlacementError if a placement gives the address of a worker's machine. where: platform, for the message."""
    for worker, demand in placement.resources_of.items():
        if isinstance(demand.node, str) and demand.node:
            raise PlacementError(
                f"worker {worker!r} is placed on the machine {demand.node!r}, and {where} tells addresses only once "
                "machines have started; expected labels there. Place it by labels, or make a manifest for `ray up`."
            )


def labels_of(bundle: Bundle) -> tuple[tuple[str, str], ...]:
    """Return the labels that the machine of a bundle (resources of one or more workers) must have, sorted."""
    return tuple(sorted(bundle.labels.items()))


def _own(bundle: Bundle) -> dict[str, float]:
    """Return the custom resources of a bundle, without CPUs and GPUs."""
    return {name: amount for name, amount in bundle.resources.items() if name not in (CPU, GPU)}


def _bundles(placement: Placement, size: Size) -> list[Bundle]:
    """Return the bundles (resources of one or more workers) of a placement, the largest first.

    Raises PlacementError for a bundle that does not fit on a machine of this size.
    """
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


def _filled(bundles: Iterable[Bundle], size: Size, strategy: Strategy) -> list[list[Bundle]]:
    """Distribute bundles (resources of workers) over machines by first fit. Returns the bundles of each machine."""
    machines: list[list[Bundle]] = []
    for bundle in bundles:
        open_to_it = machines if strategy is Strategy.PACK else []
        free = next((each for each in open_to_it if _fit([*each, bundle], size)), None)
        if free is None:
            machines.append([bundle])
        else:
            free.append(bundle)
    return machines


def _fit(bundles: Iterable[Bundle], size: Size) -> bool:
    cpus, gpus = ([each.resources.get(name, 0.0) for each in bundles] for name in (CPU, GPU))
    return sum(cpus) <= size.cpus + _TINY and devices(gpus) <= size.gpus


def _group(
    name: str, machines: list[list[Bundle]], size: Size, labels: tuple[tuple[str, str], ...], address: str = ""
) -> MachineGroup:
    """Make a group of equal machines.

    machines: the bundles (resources of workers) of each machine. Every machine gets, of each custom resource, the
    largest amount that one of them needs.
    """
    workers = tuple(tuple(worker for bundle in each for worker in bundle.workers) for each in machines)
    bundles = [bundle for each in machines for bundle in each]
    gpus = size.gpus if any(GPU in bundle.resources for bundle in bundles) else 0
    resources = tuple(
        (name, max(sum(bundle.resources.get(name, 0.0) for bundle in each) for each in machines))
        for name in sorted({name for bundle in bundles for name in _own(bundle)})
    )
    return MachineGroup(name, workers, size.cpus, gpus, size.memory, resources, labels, address)
