"""A Ray cluster of several nodes on this machine, for tests and measurements: each on a machine of its own, where those
can be made (`rigs.network_namespaces`); else `ray.cluster_utils.Cluster`, whose nodes share one network."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, final

from antiphon.errors import TransportError
from rigs.network_namespaces import Machine, Machines, call_through, ended, why_not

PORT = 6379
"""Of the head, on machines: Ray's own, for nobody else is in their network."""
MEMORY = 100_000_000
"""Bytes of each node's object store."""
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
_CLUSTER = """
import os, sys
from ray.cluster_utils import Cluster
count, cpus, memory = map(int, sys.argv[1:])
options = {"num_cpus": cpus, "object_store_memory": memory}
cluster = Cluster(initialize_head=True, head_node_args={**options, "include_dashboard": False})
for _ in range(count - 1):
    cluster.add_node(**options)
print(cluster.address, flush=True)
os.read(0, 1)
cluster.shutdown()
"""


class Nodes(Protocol):
    """A cluster that runs. kind: what its nodes are, for a test to tell. address: of its head, for drivers."""

    kind: str
    address: str

    def call(self, function: Callable[..., Any], *arguments: object, seconds: float = 120.0) -> Any:
        """A function's result, computed by a driver on the head's machine. Any: what the function returns."""
        ...


@contextlib.contextmanager
def nodes(*names: str, spare: tuple[str, ...] = (), cpus: int = 2) -> Iterator["SeveralNetworks | OneNetwork"]:
    """Ray nodes of these names for the time of a `with`, the first of them the head; on machines if possible.

    spare: machines that are there and have not joined.
    """
    reason = why_not()
    with contextlib.ExitStack() as scope:
        if reason:
            yield scope.enter_context(one_network(reason, len(names), cpus))
        else:
            yield SeveralNetworks(scope.enter_context(Machines(*names, *spare)), names, cpus)


@final
class SeveralNetworks:
    """Ray on machines, started as one starts it by hand, with token authentication. It ends with the machines."""

    kind = "network namespaces"

    def __init__(self, machines: Machines, names: tuple[str, ...], cpus: int) -> None:
        self.machines, self._cpus = machines, cpus
        self.head = machines[names[0]]
        self.address = f"{self.head.address}:{PORT}"
        token = machines.folder / "token"
        token.write_text(os.urandom(32).hex())
        self.environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), **_QUIET}
        ended(self._start(self.head, "--head", f"--port={PORT}", "--include-dashboard=false"))
        self.join(*names[1:])

    def join(self, *names: str) -> None:
        """Machines join the cluster, all at once. Raises TransportError when one does not."""
        for process in [self._start(self.machines[name], f"--address={self.address}") for name in names]:
            ended(process)

    def call(self, function: Callable[..., Any], *arguments: object, seconds: float = 120.0) -> Any:
        """As `Nodes`."""
        environment = {**self.environment, "RAY_ADDRESS": self.address}
        return self.head.call(function, *arguments, environment=environment, seconds=seconds)

    def _start(self, machine: Machine, *options: str) -> subprocess.Popen:
        common = f"--node-ip-address={machine.address}", f"--num-cpus={self._cpus}", f"--object-store-memory={MEMORY}"
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return machine.start("ray", "start", *options, *common, environment=self.environment, **pipes)


@final
class OneNetwork:
    """Nodes that share this machine's network and processes."""

    def __init__(self, reason: str, address: str, folder: Path) -> None:
        self.kind = f"ray.cluster_utils.Cluster, because {reason}"
        self.address, self._folder = address, folder

    def call(self, function: Callable[..., Any], *arguments: object, seconds: float = 120.0) -> Any:
        """As `Nodes`."""
        environment = {**os.environ, **_QUIET, "TMPDIR": str(self._folder), "RAY_ADDRESS": self.address}

        def run(*command: str) -> None:
            pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}  # Any: theirs
            ended(subprocess.Popen(command, env=environment, cwd=self._folder, **pipes), seconds)

        return call_through(run, self._folder, function, arguments)


@contextlib.contextmanager
def one_network(reason: str, count: int, cpus: int = 2) -> Iterator[OneNetwork]:
    """A cluster of so many nodes without machines. reason: why there are none."""
    with tempfile.TemporaryDirectory(prefix="n") as folder:
        program = sys.executable, "-P", "-c", _CLUSTER, str(count), str(cpus), str(MEMORY)
        (Path(folder) / "ray").mkdir()  # where it notes its address, in the hope that somebody made that
        environment = {**os.environ, **_QUIET, "TMPDIR": folder}
        cluster = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=folder, text=True
        )
        with cluster:  # its standard input is closed at the end, upon which it stops what it started
            assert cluster.stdout is not None
            address = cluster.stdout.readline().strip()
            if not address:
                raise TransportError(f"{count} Ray nodes do not start; expected an address. See what Ray printed.")
            yield OneNetwork(reason, address, Path(folder))
