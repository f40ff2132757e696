"""Checks whether a cluster could satisfy a placement, and names what is missing. It does not call Ray."""

from collections.abc import Iterable, Sequence

from antiphon.coordinator.plan.placement import Strategy
from antiphon.deploy.bundles import CPU, GPU, Bundle, amount, amounts, devices
from antiphon.deploy.cluster import Machine
from antiphon.errors import PlacementError

_TRIES = 20_000
"""The largest number of steps in the search for a layout of bundles on machines. Then a layout is assumed to exist."""
_SEARCHED = 300
"""The largest number of bundles for which a layout is searched. The recursion is as deep as this number."""
_SHOWN = 6


def refuse_unsatisfiable(bundles: Sequence[Bundle], machines: Sequence[Machine], strategy: Strategy) -> None:
    """Raise PlacementError if the machines of a cluster cannot hold the bundles of a placement.

    The error names each worker, the resources that are missing for it, and the resources of the cluster.
    """
    problems = [each for bundle in bundles for each in _alone(bundle, machines)]
    problems += _together(bundles, machines)
    if strategy is Strategy.STRICT_SPREAD and len(bundles) > len(machines):
        problems.append(
            f"{len(bundles)} workers are to be on a machine each (strategy 'strict_spread'), and the cluster has "
            f"{len(machines)} ({', '.join(_names(bundles))})"
        )
    if not problems and not _fits(bundles, machines, strategy is Strategy.STRICT_SPREAD):
        problems = [
            f"each of the workers {', '.join(_names(bundles))} fits on a machine, but not all of them on the machines "
            f"that there are (strategy {str(strategy)!r})"
        ]
    if problems:
        raise PlacementError(
            "the placement asks for what the cluster does not have:\n"
            + "".join(f"  {each};\n" for each in problems)
            + f"expected all of it on {_told(machines)}. {_remedy(bundles, machines)}"
        )


def _alone(bundle: Bundle, machines: Sequence[Machine]) -> list[str]:
    """Describe why no machine could hold `bundle`, even without other bundles. Return [] if a machine could."""
    who = f"worker {bundle.workers[0]!r}" if bundle.workers else "the coordinator"
    allowed = [machine for machine in machines if _allows(bundle, machine)]
    if not allowed:
        labels = ", ".join(f"{key} = {value!r}" for key, value in bundle.labels.items())
        if labels:
            return [f"{who} is to be where {labels}, and no machine carries that"]
        return [f"{who} is to be on {bundle.node!r}, and no machine has that address"]
    problems = []
    for name, wanted in bundle.resources.items():
        most = max(machine.total.get(name, 0.0) for machine in allowed)
        if wanted > most + 1e-9:
            where = "no machine" if len(allowed) == len(machines) else "no machine where it may be"
            problems.append(f"{who} asks for {amount(name, wanted)}, and {where} has more than {most:g}")
    if not problems and not any(_holds([bundle], machine) for machine in allowed):
        problems.append(f"{who} asks for {amounts(bundle.asked)}, and no machine has all of that")
    return problems


def _together(bundles: Sequence[Bundle], machines: Sequence[Machine]) -> list[str]:
    """Describe each resource of which all bundles in sum need more than all machines have."""
    problems = []
    for name in dict.fromkeys(name for bundle in bundles for name in bundle.resources):
        asking = [bundle for bundle in bundles if bundle.resources.get(name)]
        there = sum(machine.total.get(name, 0.0) for machine in machines)
        wanted = sum(bundle.resources[name] for bundle in asking)
        needed = devices(bundle.resources[name] for bundle in asking) if name == GPU else wanted
        if len(asking) > 1 and needed > there + 1e-9:
            each = ", ".join(f"{bundle.workers[0]!r} {bundle.resources[name]:g}" for bundle in asking if bundle.workers)
            shared = f", for which {needed:g} are needed" if needed > wanted else ""
            problems.append(
                f"together {amount(name, round(wanted, 4))} are asked for ({each}){shared}, and the cluster has "
                f"{there:g}"
            )
    return problems


def _fits(bundles: Sequence[Bundle], machines: Sequence[Machine], strict: bool) -> bool:
    """Return whether all bundles fit on the machines at once. Also returns True if the search would be too long.

    strict: at most one bundle on each machine.
    """
    if len(bundles) > _SEARCHED:
        return True
    allowed = [tuple(_allows(bundle, machine) for bundle in bundles) for machine in machines]
    order = sorted(range(len(bundles)), key=lambda each: sum(may[each] for may in allowed))
    names = {name for bundle in bundles for name in bundle.asked}
    alike = [
        (may, *(machine.total.get(name) for name in names)) for may, machine in zip(allowed, machines, strict=True)
    ]
    lying: list[list[Bundle]] = [[] for _ in machines]
    tries = 0

    def lay(position: int) -> bool:
        nonlocal tries
        if position == len(order):
            return True
        bundle, seen = bundles[order[position]], set()
        for index, machine in enumerate(machines):
            there = lying[index]
            # Of equal machines with equal bundles on them, only the first is tried.
            kind = alike[index], tuple(sorted(str(sorted(each.asked.items())) for each in there))
            if kind in seen or not allowed[index][order[position]]:
                continue
            seen.add(kind)
            tries += 1
            if tries > _TRIES:
                return True
            if not (strict and there) and _holds([*there, bundle], machine):
                there.append(bundle)
                if lay(position + 1):
                    return True
                there.pop()
        return False

    return lay(0)


def _allows(bundle: Bundle, machine: Machine) -> bool:
    if bundle.labels:
        return all(machine.labels.get(key) == value for key, value in bundle.labels.items())
    return not bundle.node or bundle.node == machine.address


def _holds(bundles: Sequence[Bundle], machine: Machine) -> bool:
    for name in {name for bundle in bundles for name in bundle.asked if not name.startswith("node:")}:
        demands = [bundle.asked.get(name, 0.0) for bundle in bundles]
        if (devices(demands) if name == GPU else sum(demands)) > machine.total.get(name, 0.0) + 1e-9:
            return False
    return True


def _names(bundles: Iterable[Bundle]) -> list[str]:
    return [repr(worker) for bundle in bundles for worker in bundle.workers]


def _told(machines: Sequence[Machine]) -> str:
    told = [f"{machine.address!r} ({amounts(_shown(machine))}{_labels(machine)})" for machine in machines[:_SHOWN]]
    more = [f"{len(machines) - _SHOWN} more"] if len(machines) > _SHOWN else []
    return ", ".join([*told, *more]) or "no machine at all"


def _shown(machine: Machine) -> dict[str, float]:
    own = {CPU: machine.total.get(CPU, 0.0), GPU: machine.total.get(GPU, 0.0)}
    rays = ("node:", "memory", "object_store_memory", "accelerator_type:")
    return own | {
        name: value for name, value in machine.total.items() if not name.startswith(rays) and "_group_" not in name
    }


def _labels(machine: Machine) -> str:
    own = {key: value for key, value in machine.labels.items() if key != "ray.io/node-id"}
    return "".join(f", {key} = {value!r}" for key, value in own.items())


def _remedy(bundles: Sequence[Bundle], machines: Sequence[Machine]) -> str:
    without = not any(machine.total.get(GPU) for machine in machines)
    rehearse = without and any(GPU in bundle.resources for bundle in bundles)
    aside = " Where there are no GPUs, placement.logical_gpus = true counts them on a Ray of one's own."
    return "Ask for less, or join a cluster that has it." + (aside if rehearse else "")
