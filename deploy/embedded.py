"""Starts a Ray on this machine, without output and in a short temporary folder, and removes it at the end."""

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, final
from unittest import mock

import ray
from ray._private import node, services, worker
from ray._private.parameter import RayParams

from antiphon.deploy import fork_client
from antiphon.deploy.address import joinable
from antiphon.deploy.authentication import check_connected, check_has_tokens, own_token
from antiphon.deploy.fork_server import ForkServer
from antiphon.deploy.head import head_watch
from antiphon.deploy.leftovers import owned_folder, started_for
from antiphon.errors import TransportError

_APART = partial(services.ConsolePopen, process_group=0)
"""Starts a process of Ray in a group of its own: a signal to the driver's group, as of a terminal, is the driver's."""
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
    # Ray must start no workers in advance: their number would be that of the CPUs, not that of the actors.
    "prestart_worker_first_driver": False,
    # A frozen raylet is given up after half a minute, not two. An actor that does not end is killed soon.
    "health_check_period_ms": 2000,
    "health_check_timeout_ms": 4000,
    "kill_worker_timeout_milliseconds": 500,
    # No records of calls: without a dashboard nobody reads them, and in a long run they take 60 MiB an hour.
    "task_events_report_interval_ms": 0,
}
LOOPBACK = "127.0.0.1"
"""The address of a Ray on this machine. The store and the channels of its workers listen on it too."""
_PATIENCE, _LOOK = 10.0, 0.01
"""Seconds to wait until the raylet is registered, and between two checks.

Ray itself then waits for half a minute more.
"""


@final
class _Node(node.Node):
    """The processes of a Ray on this machine: control store and raylet with its agents. Its workers are forked.

    `ray.init` uses this class in place of Ray's own node class. Ray's own also starts a monitor that adds machines, a
    monitor that sends logs to the driver, and an API server. Without a dashboard the server has nothing to serve, and
    its start takes a second.
    """

    def __init__(self, ray_params: RayParams, **options: Any) -> None:  # Any: Ray's options differ in type
        # Ray listens on the loopback alone if that is its node's address. `ray.init` does not take this address: it
        # replaces it by the one of the route to the internet.
        ray_params.update(node_ip_address=LOOPBACK, session_name="session")
        ray_params.update(no_monitor=True, include_log_monitor=False, worker_path=fork_client.__file__)
        try:
            super().__init__(ray_params, **options)
        except BaseException:
            self.kill_all_processes(check_alive=False, allow_graceful=True)
            raise

    def start_api_server(self, **_: Any) -> None:  # Any: Ray's options
        """Do nothing, so that no dashboard is started."""

    def start_ray_processes(self) -> None:
        """Start the raylet, and wait until it is registered in the control store.

        Ray itself checks only once a second.
        """
        super().start_ray_processes()
        store: Any = self.get_gcs_client()  # Any: its type is optional; it exists, because the store is started first
        end = time.monotonic() + _PATIENCE
        while self.remaining_processes_alive() and time.monotonic() < end:
            if store.get_all_node_info(timeout=_PATIENCE):
                return
            time.sleep(_LOOK)


@contextlib.contextmanager
def ray_session(address: str | None = None, num_cpus: int | None = None, num_gpus: int | None = None) -> Iterator[None]:
    """Return a context in which this process is connected to Ray.

    If the context has started Ray, it stops Ray at its end and removes Ray's temporary folder. If this process is
    already connected to a Ray, that Ray is used, and it runs on after the context. A Ray that the context starts
    listens only on the loopback address, and has a token that only this user can read.
    address: address of a cluster to join; this machine must be one of its nodes. With "auto", Ray's cluster on this
    machine is found. With None or "local", a Ray is started on this machine. num_cpus: logical CPUs, which limit how
    many processes Ray starts at once; None is the number of cores. num_gpus: logical GPUs; None is the number that Ray
    finds.
    Raises TransportError if Ray cannot be started, ClusterError or VersionError if it cannot be joined or takes
    requests without a token.
    """
    check_has_tokens()
    if ray.is_initialized():
        check_connected()
        yield
        return
    with contextlib.ExitStack() as scope:
        place = joinable(address) if address not in (None, "local") else None
        folder = None if place else scope.enter_context(_own_folder())
        if folder:
            scope.enter_context(own_token(Path(folder)))
        with _environment(), started_for(Path(folder).parent) if folder else contextlib.nullcontext():
            if folder:
                scope.enter_context(contextlib.closing(ForkServer(folder)))
            scope.callback(_stop, folder)
            _start(place, num_cpus, num_gpus, folder)
        _silence()
        head_watch()
        yield


def _stop(folder: str | None) -> None:
    """Disconnect from Ray, and stop it if this process has started it. A dead or frozen head must not block this."""
    node = worker._global_node
    if node is not None and ray.is_initialized():
        watch = head_watch()
        if folder and not watch.answers():
            node.kill_all_processes(check_alive=False)
        watch.close()
    ray.shutdown()


@contextlib.contextmanager
def _own_folder() -> Iterator[str]:
    """Make a folder for Ray inside a folder that only this user can enter. All users may write into Ray's folder."""
    with owned_folder() as folder:
        inside = Path(folder) / "r"
        inside.mkdir()
        yield str(inside)


def _start(address: str | None, num_cpus: int | None, num_gpus: int | None, folder: str | None) -> None:
    options: dict[str, Any] = {"address": address or "local"}  # Any: Ray's options differ in type
    if folder:
        own = {} if num_gpus is None else {"num_gpus": num_gpus}
        options |= {"num_cpus": num_cpus or os.cpu_count(), "include_dashboard": False, **own}
        options |= {"_temp_dir": folder, "_system_config": _SETTINGS}
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    try:
        with contextlib.ExitStack() as own:
            if folder:
                own.enter_context(mock.patch.object(node, "Node", _Node))
                own.enter_context(mock.patch.object(services, "ConsolePopen", _APART))
            ray.init(**options, **quiet)
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
