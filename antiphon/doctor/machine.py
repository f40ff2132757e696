"""The command `antiphon doctor`: check whether this machine has everything that a run needs."""

import contextlib
import platform
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ray
import torch
from ray._private.worker import global_worker
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from antiphon.coordinator.plan.placement import spread
from antiphon.deploy.embedded import ray_session
from antiphon.doctor import gpu as gpus
from antiphon.doctor.access import ports_of, ports_of_a_cluster, token
from antiphon.doctor.channels import Place, hold_laws, pairs
from antiphon.doctor.findings import Check, CheckFailed, Finding, Health, NotRun, examine
from antiphon.doctor.rounds import played_twice, small
from antiphon.transport.rendezvous import StoreServer
from antiphon.transport.route import Site
from antiphon.transport.shared_memory import shared_memory_domain

_SESSION_PATH = 51  # characters that Ray appends to the temporary folder for its sockets
_SOCKET_PATH = 107  # the longest path of a socket that the system allows
_ROOM = 1 << 30  # bytes that Ray's object store and logs need
_ROUNDS = 8


def examination(gpu: bool = False, address: str | None = None) -> Iterator[Finding]:
    """Run all checks of this machine one after another, and yield the result of each.

    gpu: whether to check GPUs too. address: address of a Ray cluster; if None, Ray is started on this machine.
    """
    yield from (examine(*check) for check in machine_checks())
    devices = gpus.devices() if gpu else ()
    with contextlib.ExitStack() as stack:

        def start() -> str:
            stack.enter_context(ray_session(address, num_cpus=8))
            return ray_answers(address)

        started = examine("ray", start)
        yield started
        running = started.verdict is Health.OK
        yield examine("open ports", (open_ports if address is None else ports_of_a_cluster) if running else without_ray)
        yield examine("round on ray", round_on_ray if running else without_ray)
        if gpu:
            yield from (examine(*check) for check in gpus.checks(devices, running))


def machine_checks() -> list[Check]:
    """Return the checks of this machine that do not need Ray."""
    return [
        ("versions", versions),
        ("temporary folder", temporary_folder),
        ("ports", ports),
        ("gloo", gloo),
        ("shared memory", shared_memory),
        ("environment", environment),
        ("token", token),
    ]


def versions() -> str:
    """Return the versions of antiphon and of its dependencies, for a report."""
    known = [f"{name} {_version(name)}" for name in ("antiphon", "torch", "ray", "gymnasium", "numpy", "msgpack")]
    cuda = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    return f"{', '.join(known)}; Python {platform.python_version()}, torch with {cuda}; {platform.platform()}"


def temporary_folder(folder: str | None = None) -> str:
    """Check that the temporary folder has space for Ray's session, and a path short enough for Ray's sockets.

    Returns the result as text. Raises CheckFailed otherwise.
    """
    folder = folder or tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < _ROOM:
        raise CheckFailed(
            f"{folder} has {free / 2**20:.0f} MiB free; expected 1024 or more for Ray's session. Make room, or set "
            "TMPDIR to a folder that has it."
        )
    longest = _SOCKET_PATH - _SESSION_PATH
    if len(folder) > longest:
        raise CheckFailed(
            f"{folder} has a path of {len(folder)} characters; expected at most {longest}, since Ray puts sockets "
            "below it. Set TMPDIR to a folder with a shorter path."
        )
    return f"{folder}, {free / 2**30:.0f} GiB free"


def ports() -> str:
    """Check that this machine can connect to itself at the address that it gives to other machines."""
    host = ray.util.get_node_ip_address()
    with socket.create_server((host, 0)) as listener:
        port = listener.getsockname()[1]
        try:
            with socket.create_connection((host, port), timeout=5):
                return f"{host} reaches itself"
        except OSError as error:
            raise CheckFailed(
                f"{host} does not reach its own port {port}: {error}; expected a connection, as workers make to each "
                "other. Open the ports between the cluster's machines (docs/cluster.md says which)."
            ) from error


def gloo() -> str:
    """Test the channel that workers on different machines use (gloo), with both ends on this machine."""
    return _hold_between(Place.cpu)


def shared_memory() -> str:
    """Test the channel that workers on the same machine use (shared memory)."""
    memory = shared_memory_domain()
    if not memory:
        return "not on this system: workers of one machine use gloo"
    return _hold_between(lambda host: Place(torch.device("cpu"), Site(host, memory=memory)))


def _hold_between(place: Callable[[str], Place]) -> str:
    host = ray.util.get_node_ip_address()
    store = StoreServer(host)
    laws = hold_laws(pairs(store.address, (place(host), place(host))))
    del store
    return f"{laws} laws hold over {host}"


def environment() -> str:
    """Check that a Gymnasium environment can be made as an oracle, and answers its first question."""
    from antiphon.envs import nature

    declaration = nature("Pendulum-v1", envs=1, batch=4, warmup=4)
    made = declaration.make(0)
    try:
        made.answer(declaration.questions[0].name, (), 0)
    finally:
        made.close()
    return "Pendulum-v1 plays"


def ray_answers(address: str | None) -> str:
    """Check that every node of the cluster has the same versions of antiphon and torch."""
    here = _version("antiphon"), torch.__version__
    alive = [node for node in ray.nodes() if node["Alive"]]
    asking = ray.remote(_versions_there)
    for node in alive:
        pinned = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        there = ray.get(asking.options(num_cpus=0, scheduling_strategy=pinned).remote(), timeout=60)
        if there != here:
            raise CheckFailed(
                f"node {node['NodeManagerAddress']} has antiphon {there[0]} and torch {there[1]}; expected "
                f"{here[0]} and {here[1]}, as here. Install the same versions on all nodes."
            )
    has = ", ".join(f"{amount:g} {name}" for name, amount in sorted(ray.cluster_resources().items()) if len(name) == 3)
    return f"{'the cluster' if address else 'a Ray of our own'} answers; nodes: {len(alive)}, {has}"


def round_on_ray() -> str:
    """Check that a few rounds of a small grammar give the same losses, bit for bit, on Ray and in this process."""
    grammar = small("backprop")
    placement = spread(grammar, fuse=[("Nature", "Loss"), ("Dense1", "Dense2")])
    expected, found, _ = played_twice(grammar, placement, _ROUNDS, "doctor")
    if found != expected:
        raise CheckFailed(
            f"losses over {_ROUNDS} rounds are {found} on Ray and {expected} in this process; expected equal bits on "
            "one machine. Report this, with all lines above."
        )
    return f"{_ROUNDS} rounds of {grammar.name} on {len(placement.names)} workers, the same bits as here"


def open_ports() -> str:
    """Check that the Ray that this process has started listens only on the loopback address."""
    node: Any = global_worker.node  # Any: its type is optional
    return ports_of(str(Path(node.get_session_dir_path()).parent))


def without_ray() -> str:
    """Raise NotRun: the check that replaces a check on Ray if Ray did not start."""
    raise NotRun("Ray did not start")


def _versions_there() -> tuple[str, str]:
    return _version("antiphon"), torch.__version__


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"
