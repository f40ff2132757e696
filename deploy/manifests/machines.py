"""How many machines of which size a placement needs: first fit, the largest workers first."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from antiphon.coordinator.placement import Placement, Room, Strategy
from antiphon.errors import PlacementError

COORDINATOR = "coordinator"
_TINY = 1e-9
"""Fractions of a CPU or of a GPU add up to a whole only so exactly."""


@dataclass(frozen=True)
class Size:
    """What one machine has: CPUs and memory in GiB; GPUs in the groups whose workers ask for some."""

    cpus: int = 8
    gpus: int = 1
    memory: int = 16


@dataclass(frozen=True)
class Group:
    """Machines that are alike. workers: who fits on each of them, though Ray decides who lives where.

    address: of the only machine of this group, where the placement names it. gpus: 0 where nobody asks for one.
    resources: custom ones, of each machine. labels: that each machine's Ray node carries.
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
        """How many machines."""
        return len(self.workers)

    @property
    def everyone(self) -> str:
        """Who lives here, for a reader."""
        names = [name for machine in self.workers for name in machine]
        return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


@dataclass
class _Machine:
    """What is still free on a machine. devices: of each GPU; Ray gives a fraction on one GPU, or whole ones."""

    cpus: float
    devices: list[float]
    workers: list[str] = field(default_factory=list)
    resources: dict[str, float] = field(default_factory=dict)

    def takes(self, worker: str, room: Room) -> bool:
        """Put the worker here, if there is room."""
        chosen = self._devices(room.num_gpus)
        if cpus_of(room) > self.cpus + _TINY or chosen is None:
            return False
        self.cpus -= cpus_of(room)
        for index in chosen:
            self.devices[index] -= min(room.num_gpus, 1.0)
        self.workers.append(worker)
        for name, amount in room.resources:
            self.resources[name] = self.resources.get(name, 0.0) + amount
        return True

    def _devices(self, gpus: float) -> list[int] | None:
        if not gpus:
            return []
        free = [index for index, left in enumerate(self.devices) if left + _TINY >= min(gpus, 1.0)]
        wanted = math.ceil(gpus)
        return free[:wanted] if len(free) >= wanted else None


def cpus_of(room: Room) -> float:
    """CPUs that are reckoned for a worker: one where it asks for none, since it computes in one thread."""
    return room.num_cpus or 1.0


def groups(placement: Placement, size: Size, *, with_coordinator: bool = False) -> tuple[Group, ...]:
    """Groups of machines on which Ray can satisfy this placement.

    Workers with equal labels, equal kinds of custom resources and the same address share a group, apart by whether they
    ask for GPUs. Where the strategy is a spread, each worker is reckoned a machine of its own.
    with_coordinator: it lives on one of these machines, too, and not on one of its own.
    Raises PlacementError for a worker that no machine of this size holds.
    """
    rooms = dict(placement.room_of)
    if with_coordinator:
        rooms[COORDINATOR] = Room()
    kinds: dict[tuple[object, ...], list[str]] = {}
    for worker, room in rooms.items():
        _refuse_what_is_too_large(worker, room, size)
        kinds.setdefault(_kind(room), []).append(worker)
    apart = placement.strategy is not Strategy.PACK
    found, names = [], _Names()
    for workers in kinds.values():
        machines = _filled({worker: rooms[worker] for worker in workers}, size, apart)
        found.append(_group(names, machines, rooms[workers[0]], size))
    return tuple(found)


def alike(placement: Placement, size: Size) -> Group:
    """One group of equal machines for everyone and the coordinator: what Slurm gives to a job.

    Raises PlacementError for a worker that no machine of this size holds, or for labels that contradict each other.
    """
    labels: dict[str, str] = {}
    for worker, room in placement.room_of.items():
        for key, value in labels_of(room):
            if labels.setdefault(key, value) != value:
                raise PlacementError(
                    f"worker {worker!r} asks for a node with the label {key}={value}, and another for "
                    f"{key}={labels[key]}; expected equal labels, for the machines of a Slurm job are alike. "
                    "Make a manifest for KubeRay or `ray up`, or leave one of the labels out."
                )
    rooms = dict(placement.room_of)
    for worker, room in rooms.items():
        _refuse_what_is_too_large(worker, room, size)
    machines = _filled({**rooms, COORDINATOR: Room()}, size, placement.strategy is not Strategy.PACK)
    known = {name for each in machines for name in each.resources}
    resources = {name: max(each.resources.get(name, 0.0) for each in machines) for name in known}
    return Group(
        "all",
        tuple(tuple(each.workers) for each in machines),
        size.cpus,
        size.gpus if any(room.num_gpus for room in rooms.values()) else 0,
        size.memory,
        tuple(sorted(resources.items())),
        tuple(sorted(labels.items())),
    )


def refuse_addresses(placement: Placement, where: str) -> None:
    """Raises PlacementError for workers that are placed on a machine by its address."""
    for worker, room in placement.room_of.items():
        if isinstance(room.node, str) and room.node:
            raise PlacementError(
                f"worker {worker!r} is placed on the machine {room.node!r}, and {where} tells addresses only once "
                "machines have started; expected labels there. Place it by labels, or make a manifest for `ray up`."
            )


def labels_of(room: Room) -> tuple[tuple[str, str], ...]:
    """The labels that the node of this room carries."""
    return () if isinstance(room.node, str) else tuple(sorted(room.node))


class _Names:
    def __init__(self) -> None:
        self._given: list[str] = []

    def next(self, base: str) -> str:
        self._given.append(base)
        count = self._given.count(base)
        return base if count == 1 else f"{base}-{count}"


def _kind(room: Room) -> tuple[object, ...]:
    address = room.node if isinstance(room.node, str) else ""
    return address, labels_of(room), tuple(sorted(name for name, _ in room.resources)), room.num_gpus > 0


def _filled(rooms: dict[str, Room], size: Size, apart: bool) -> list[_Machine]:
    machines: list[_Machine] = []
    largest_first = sorted(rooms, key=lambda worker: (-rooms[worker].num_gpus, -cpus_of(rooms[worker])))
    for worker in largest_first:
        # Where workers are spread, only the coordinator joins another.
        open_to_it = [] if apart and worker != COORDINATOR else machines
        if not any(machine.takes(worker, rooms[worker]) for machine in open_to_it):
            machines.append(_Machine(size.cpus, [1.0] * size.gpus))
            machines[-1].takes(worker, rooms[worker])
    return machines


def _group(names: _Names, machines: list[_Machine], room: Room, size: Size) -> Group:
    address = room.node if isinstance(room.node, str) else ""
    if address and len(machines) > 1:
        raise PlacementError(
            f"the machine {address!r} is to hold {_listed(machines)}, which fill {len(machines)} machines of "
            f"{size.cpus} CPUs and {size.gpus} GPUs; expected them to fit on it. Move some of them, or say how large "
            "it is with --machine-cpus and --machine-gpus."
        )
    resources = {name: max(each.resources[name] for each in machines) for name, _ in room.resources}
    return Group(
        names.next("gpu" if room.num_gpus else "cpu"),
        tuple(tuple(each.workers) for each in machines),
        size.cpus,
        size.gpus if room.num_gpus else 0,
        size.memory,
        tuple(sorted(resources.items())),
        labels_of(room),
        address,
    )


def _listed(machines: Iterable[_Machine]) -> str:
    return ", ".join(repr(worker) for machine in machines for worker in machine.workers)


def _refuse_what_is_too_large(worker: str, room: Room, size: Size) -> None:
    for asked, has, what, option in (
        (cpus_of(room), size.cpus, "CPUs", "--machine-cpus"),
        (room.num_gpus, size.gpus, "GPUs", "--machine-gpus"),
    ):
        if asked > has:
            raise PlacementError(
                f"worker {worker!r} asks for {asked:g} {what}, and a machine has {has}; expected every worker to fit "
                f"on one machine. Ask for larger machines, {option} {math.ceil(asked)}, or give the worker less."
            )
