"""Chooses the device of a worker, from the GPUs that Ray assigned and the GPUs that torch sees in its process."""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from antiphon.errors import PlacementError
from antiphon.grammars.factory import Factory
from antiphon.grammars.inference import make_operator
from antiphon.grammars.states import map_tensors
from antiphon.transport.route import Site
from antiphon.transport.shared_memory import shared_memory_domain

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Seen:
    """The devices that one process sees, and its machine.

    node: Ray's id of the process's node. address: IP address of the machine. assigned: Ray's ids of the GPUs assigned
    to the process; actors with fractions of one GPU have the same id. visible: CUDA_VISIBLE_DEVICES, None if it is not
    set. gpus: UUID and PCI bus of each CUDA device that torch sees, in torch's order. memory: name of the group of
    processes with which this process can share memory, "" if there is none. build: version of torch.
    """

    node: str
    address: str
    assigned: tuple[str, ...] = ()
    visible: str | None = None
    gpus: tuple[tuple[str, str], ...] = ()
    memory: str = ""
    build: str = torch.__version__


def look() -> Seen:
    """Return the devices that this process sees. Call this function in a Ray worker."""
    import ray  # imported here, so that the inline executor does not load Ray

    context = ray.get_runtime_context()
    return Seen(
        context.get_node_id(),
        ray.util.get_node_ip_address(),
        tuple(context.get_accelerator_ids().get("GPU", ())),
        os.environ.get("CUDA_VISIBLE_DEVICES"),
        tuple(identity(torch.cuda.get_device_properties(index)) for index in range(torch.cuda.device_count())),
        shared_memory_domain(),
    )


def settle(worker: str, seen: Seen, logical_gpus: bool) -> tuple[torch.device, Site]:
    """Choose a worker's device. Returns the device and the worker's site, a description of its machine and device.

    A worker without an assigned GPU uses the CPU, also if torch sees GPUs: those belong to other workers. A worker with
    several GPUs uses the first; its modules may use the others themselves.
    logical_gpus: Ray only counts GPUs, and all workers compute on CPUs.
    Raises PlacementError if torch does not see the GPUs that Ray assigned.
    """
    if not seen.assigned:
        return CPU, Site(seen.address, memory=seen.memory)
    first = seen.assigned[0]
    if logical_gpus:
        return CPU, Site(seen.address, "cuda", f"{seen.node}/{first}", counted=True, memory=seen.memory)
    index = _position(first, seen)
    if index is None:
        raise PlacementError(
            f"worker {worker!r} was given GPU {', '.join(seen.assigned)} by Ray on {seen.address} "
            f"(CUDA_VISIBLE_DEVICES={seen.visible or ''}), and torch {seen.build} sees {len(seen.gpus)} CUDA devices "
            "there; expected that GPU among them. Install a CUDA build of torch and a driver for it, or set "
            "logical_gpus = true in the placement: a rehearsal in which Ray counts GPUs and everything computes on "
            "CPUs."
        )
    return torch.device("cuda", index), Site(seen.address, "cuda", *seen.gpus[index])


def enter(device: torch.device) -> None:
    """Make `device` the current CUDA device of this process.

    Then modules that create tensors on "cuda" use this device.
    """
    if device.type == "cuda":
        torch.cuda.set_device(device)


def generators(device: torch.device) -> tuple[torch.Generator, ...]:
    """Return the torch generators from which an operator on this device draws random numbers."""
    if device.type != "cuda":
        return (torch.default_generator,)
    torch.cuda.init()  # this makes the CUDA generators
    return torch.default_generator, torch.cuda.default_generators[device.index or 0]


def operator_on(factory: Factory, device: torch.device) -> Callable[..., Any]:  # Any: what an operator plays
    """Return the operator without parameters that `factory` makes, with all of its tensors on `device`.

    The tensors are made on the CPU and then moved, so that they hold the same numbers on every device.
    """
    if device.type == "cpu":
        return make_operator(factory)
    if isinstance(factory.target, type):
        made = make_operator(factory)
        return made.to(device) if isinstance(made, nn.Module) else made
    return make_operator(_moved(factory, device))


def on_device(state: Any, device: torch.device) -> Any:  # Any: a State, or a part of one
    """Return the state with every tensor on `device`. Tensors that are already on this device are not copied."""
    return map_tensors(state, lambda tensor: tensor.to(device))


def _position(first: str, seen: Seen) -> int | None:
    """Return torch's index of the GPU whose id in Ray is `first`; None if torch does not see this GPU."""
    # Ray restricts CUDA_VISIBLE_DEVICES to the assigned GPUs, unless it is configured not to.
    order = seen.visible.split(",") if seen.visible else [str(number) for number in range(len(seen.gpus))]
    index = order.index(first) if first in order else len(order)
    return index if index < len(seen.gpus) else None


def identity(properties: Any) -> tuple[str, str]:  # Any: torch's stubs do not know all of them
    """Return UUID and PCI bus of a CUDA device from its torch properties. The bus is "" if torch reports none."""
    places = [getattr(properties, f"pci_{part}_id", None) for part in ("domain", "bus", "device")]
    bus = "" if None in places else "{:04x}:{:02x}:{:02x}".format(*places)
    return str(properties.uuid), bus


def _moved(factory: Factory, device: torch.device) -> Factory:
    target = factory.target
    if isinstance(target, functools.partial):
        target = functools.partial(target.func, *on_device(target.args, device), **on_device(target.keywords, device))
    keywords = tuple((name, on_device(value, device)) for name, value in factory.keywords)
    return Factory(target, on_device(factory.arguments, device), keywords)
