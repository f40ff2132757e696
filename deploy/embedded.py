"""Starts a Ray on this machine, without output and in a short temporary folder, and removes it at the end."""

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray._private import worker

from antiphon.deploy.address import joinable
from antiphon.deploy.fork_server import ForkServer
from antiphon.errors import TransportError

_QUIET = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_DOCKER_CPU_WARNING": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
}
_SETTINGS = {
    # How often a process looks for its node's object store: at first it is not there, and Ray would wait a second.
    "raylet_client_connect_timeout_milliseconds": 20,
    "raylet_client_num_connect_attempts": 500,
    # Ray must start no workers in advance: those are not forked from the fork server.
    "prestart_worker_first_driver": False,
}


@contextlib.contextmanager
def ray_session(address: str | None = None, num_cpus: int | None = None, num_gpus: int | None = None) -> Iterator[str]:
    """Return a context in which Ray runs. If it has started Ray, its end stops Ray and removes the temporary folder.

    The context yields the executable that forks workers (see `ForkServer`) if it has started Ray, else an empty string.

    If this process is already connected to a Ray, that Ray is used, and it runs on after the context.
    address: of a cluster to join; this machine must be one of its nodes. "auto" finds it. None or "local" starts a Ray
    here. num_cpus: logical CPUs, which limit how many processes Ray starts at once; None is the number of cores.
    num_gpus: logical GPUs; None is the number that Ray finds.
    Raises TransportError if Ray cannot be started, ClusterError or VersionError if it cannot be joined.
    """
    if ray.is_initialized():
        yield ""
        return
    with contextlib.ExitStack() as scope:
        place = joinable(address) if address not in (None, "local") else None
        folder = None if place else scope.enter_context(_own_folder())
        with _environment():
            server = scope.enter_context(contextlib.closing(ForkServer(folder))) if folder else None
            scope.callback(ray.shutdown)
            _start(place, num_cpus, num_gpus, folder)
        _silence()
        if folder:
            _end_idle_processes()
        yield server.executable if server else ""


@contextlib.contextmanager
def _own_folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="antiphon-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(address: str | None, num_cpus: int | None, num_gpus: int | None, folder: str | None) -> None:
    options: dict[str, Any] = {"address": address or "local"}  # Any: Ray's options differ in type
    if folder:
        own = {} if num_gpus is None else {"num_gpus": num_gpus}
        options |= {"num_cpus": num_cpus or os.cpu_count(), "include_dashboard": False, **own}
        options |= {"_temp_dir": folder, "_system_config": _SETTINGS}
    try:
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR, configure_logging=True)
    except Exception as error:  # Ray raises many types here
        where = f"joined at {address!r}" if address else f"started in {Path(tempfile.gettempdir())}"
        raise TransportError(
            f"Ray cannot be {where}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}. "
            "Expected a reachable cluster, or room and rights to start one; `--executor inline` needs no Ray."
        ) from error


def _silence() -> None:
    # Ray prints messages of its daemons (a killed worker, many processes) to the terminal. Errors of the run name their
    # cause themselves, and the messages stay in Ray's logs. Ray has no public switch for this.
    worker.print_to_stdstream = lambda *_, **__: None


def _end_idle_processes() -> None:
    # The monitor adds and removes machines, and the log monitor sends logs to the driver: a run on one machine uses
    # neither. The monitor answers no SIGTERM after the others have ended, so that `ray.shutdown` waits a second for it.
    node: Any = worker._global_node  # Any: Ray's node; it exists, because Ray was started here
    node.kill_monitor(check_alive=False)
    node.kill_log_monitor(check_alive=False)


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    # Ray's daemons inherit these variables at the start; afterwards this process gets its environment back.
    before = {name: os.environ.get(name) for name in _QUIET}
    os.environ.update({name: value for name, value in _QUIET.items() if name not in os.environ})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
