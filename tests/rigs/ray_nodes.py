"""A Ray cluster of several nodes on this machine, for tests and measurements.

If possible, each node is on its own simulated machine (`rigs.network_namespaces`). Otherwise the cluster is a
`ray.cluster_utils.Cluster`, whose nodes share one network.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, final

from antiphon.errors import TransportError
from rigs.network_namespaces import Machine, Machines, call_through, ended, why_not

PORT = 6379
"""The port of the head node on simulated machines: Ray's default, which is free in their network."""
MEMORY = 100_000_000
"""Size of the object store of each node, in bytes."""
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
    """A running Ray cluster. kind: a description of its nodes, for reports. address: of its head node, for drivers."""

    kind: str
    address: str

    def call(self, function: Callable[..., Any], *arguments: object, seconds: float = 120.0) -> Any:
        """Call a function in a driver on the machine of the cluster's head node, and return its result.

        Any: of any type.
        """
        ...


@contextlib.contextmanager
def nodes(*names: str, spare: tuple[str, ...] = (), cpus: int = 2) -> Iterator["SeveralNetworks | OneNetwork"]:
    """Start Ray nodes and yield the cluster; stop it at the end. Simulated machines are used if possible.

    names: of the nodes; the first is the head. spare: names of further machines that are not nodes of the cluster yet.
    cpus: logical CPUs of each node.
    """
    reason = why_not()
    with contextlib.ExitStack() as scope:
        if reason:
            yield scope.enter_context(one_network(reason, len(names), cpus))
        else:
            yield SeveralNetworks(scope.enter_context(Machines(*names, *spare)), names, cpus)


@final
class SeveralNetworks:
    """A Ray cluster on simulated machines, started with `ray start` and token authentication.

    The cluster ends when the machines end. variables: further environment variables of Ray.
    """

    kind = "network namespaces"

    def __init__(
        self, machines: Machines, names: tuple[str, ...], cpus: int, variables: Mapping[str, str] | None = None
    ) -> None:
        self.machines, self._cpus = machines, cpus
        self.head = machines[names[0]]
        self.address = f"{self.head.address}:{PORT}"
        token = machines.folder / "token"
        token.write_text(os.urandom(32).hex())
        self.environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), **_QUIET}
        self.environment |= variables or {}
        ended(self._start(self.head, "--head", f"--port={PORT}", "--include-dashboard=false"))
        self.join(*names[1:])

    def join(self, *names: str) -> None:
        """Add the named machines to the cluster, all at the same time. Raises TransportError if `ray start` fails."""
        for process in [self._start(self.machines[name], f"--address={self.address}") for name in names]:
            ended(process)

    def call(self, function: Callable[..., Any], *arguments: object, seconds: float = 120.0) -> Any:
        """Call a function in a driver on the machine of the cluster's head node, and return its result.

        Any: of any type.
        """
        environment = {**self.environment, "RAY_ADDRESS": self.address}
        return self.head.call(function, *arguments, environment=environment, seconds=seconds)

    def _start(self, machine: Machine, *options: str) -> subprocess.Popen:
        common = f"--node-ip-address={machine.address}", f"--num-cpus={self._cpus}", f"--object-store-memory={MEMORY}"
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return machine.start("ray", "start", *options, *common, environment=self.environment, **pipes)


@final
class OneNetwork:
    """A Ray cluster whose nodes share the network and the processes of this machine."""

    def __init__(self, reason: str, address: str, folder: Path) -> None:
        self.kind = f"ray.cluster_utils.Cluster, because {reason}"
        self.address, self._folder = address, folder

    def call(self, function: Callable[..., Any], *arguments: object, seconds: float = 120.0) -> Any:
        """Call a function in a driver on this machine, and return its result. Any: of any type."""
        environment = {**os.environ, **_QUIET, "TMPDIR": str(self._folder), "RAY_ADDRESS": self.address}

        def run(*command: str) -> None:
            pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}  # Any: theirs
            ended(subprocess.Popen(command, env=environment, cwd=self._folder, **pipes), seconds)

        return call_through(run, self._folder, function, arguments)


@contextlib.contextmanager
def one_network(reason: str, count: int, cpus: int = 2) -> Iterator[OneNetwork]:
    """Start a cluster of `count` nodes that share this machine's network.

    reason: why simulated machines cannot be made; it appears in `kind`. cpus: logical CPUs of each node.
    """
    with tempfile.TemporaryDirectory(prefix="n") as folder:
        program = sys.executable, "-P", "-c", _CLUSTER, str(count), str(cpus), str(MEMORY)
        (Path(folder) / "ray").mkdir()  # Ray writes its address into this folder, and does not make the folder
        environment = {**os.environ, **_QUIET, "TMPDIR": folder}
        cluster = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=folder, text=True
        )
        with cluster:  # at the end its standard input is closed, and then it stops the cluster
            assert cluster.stdout is not None
            address = cluster.stdout.readline().strip()
            if not address:
                raise TransportError(f"{count} Ray nodes do not start; expected an address. See what Ray printed.")
            yield OneNetwork(reason, address, Path(folder))
