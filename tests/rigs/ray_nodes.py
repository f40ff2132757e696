"""A Ray cluster of several nodes on this machine, for tests and measurements.

If possible, each node is on its own simulated machine (`rigs.network_namespaces`). Otherwise the cluster is a
`ray.cluster_utils.Cluster`, whose nodes share one network.
"""

import contextlib
import os
import signal
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
_PATIENCE = 150.0
"""Seconds that the start of a node may take, on a busy machine."""
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120"}
_CLUSTER = """
import os, sys
from ray.cluster_utils import Cluster
count, cpus, memory = map(int, sys.argv[1:])
options = {"num_cpus": cpus, "object_store_memory": memory}
cluster = Cluster(initialize_head=True, head_node_args={**options, "include_dashboard": False})
for _ in range(count - 1):
    cluster.add_node(**options)
print(cluster.address, flush=True)
for _ in sys.stdin:
    print(cluster.add_node(**options).unique_id, flush=True)
cluster.shutdown()
"""


class Nodes(Protocol):
    """A running Ray cluster. kind: a description of its nodes, for reports. address: of its head node, for drivers.

    The place of a process is the address of its node and its process id there, as its actor returns them.
    """

    kind: str
    address: str

    def start(self, *command: str, environment: Mapping[str, str], **options: Any) -> subprocess.Popen:
        """Start a driver on the machine of the head node and return at once. Any: options of `subprocess.Popen`."""
        ...

    def disconnect(self, place: tuple[str, int]) -> None:
        """Stop all communication of the node with the process at `place`, until `reconnect`. No process ends."""
        ...

    def reconnect(self, place: tuple[str, int]) -> None:
        """Let the node communicate again, after `disconnect`."""
        ...

    def remove(self, place: tuple[str, int]) -> None:
        """Kill all processes of the node with the process at `place`, at once."""
        ...

    def add(self) -> None:
        """Add a node to the cluster. Raises TransportError if it does not start."""
        ...

    def call(self, function: Callable[..., Any], *arguments: object, seconds: float = 120.0) -> Any:
        """Call a function in a driver on the machine of the cluster's head node, and return its result.

        Any: of any type.
        """
        ...


@contextlib.contextmanager
def nodes(
    *names: str, spare: tuple[str, ...] = (), cpus: int = 2, variables: Mapping[str, str] | None = None
) -> Iterator["SeveralNetworks | OneNetwork"]:
    """Start Ray nodes and yield the cluster; stop it at the end. Simulated machines are used if possible.

    names: of the nodes; the first is the head. spare: names of further machines that are not nodes of the cluster yet.
    cpus: logical CPUs of each node. variables: further environment variables of Ray.
    """
    reason = why_not()
    with contextlib.ExitStack() as scope:
        if reason:
            yield scope.enter_context(one_network(reason, len(names), cpus, variables))
        else:
            yield SeveralNetworks(scope.enter_context(Machines(*names, *spare)), names, cpus, variables)


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
        self._spare = [name for name in machines.by_name if name not in names]
        self.address = f"{self.head.address}:{PORT}"
        token = machines.folder / "token"
        token.write_text(os.urandom(32).hex())
        self.environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), **_QUIET}
        self.environment |= variables or {}
        ended(self._start(self.head, "--head", f"--port={PORT}", "--include-dashboard=false"), _PATIENCE)
        self.join(*names[1:])

    def join(self, *names: str) -> None:
        """Add the named machines to the cluster. Raises TransportError if `ray start` fails.

        One after the other: on a busy machine, nodes that start at the same time miss Ray's deadlines.
        """
        for name in names:
            ended(self._start(self.machines[name], f"--address={self.address}"), _PATIENCE)

    def add(self) -> None:
        """Add the next of the spare machines to the cluster."""
        self.join(self._spare.pop(0))

    def disconnect(self, place: tuple[str, int]) -> None:
        """Cut the cable of the machine with the address `place[0]`."""
        self.machines.cut(self._at(place).name)

    def reconnect(self, place: tuple[str, int]) -> None:
        """Connect the cable of a machine again."""
        self.machines.mend(self._at(place).name)

    def remove(self, place: tuple[str, int]) -> None:
        """Kill the machine with the address `place[0]`."""
        self._at(place).kill()

    def start(self, *command: str, environment: Mapping[str, str], **options: Any) -> subprocess.Popen:
        """Start a driver on the head and return at once. Any: options of `subprocess.Popen`."""
        return self.head.start(*command, environment={**self._of_drivers, **environment}, **options)

    def call(self, function: Callable[..., Any], *arguments: object, seconds: float = 120.0) -> Any:
        """Call a function in a driver on the machine of the cluster's head node, and return its result.

        Any: of any type.
        """
        return self.head.call(function, *arguments, environment=self._of_drivers, seconds=seconds)

    @property
    def _of_drivers(self) -> dict[str, str]:
        return {**self.environment, "RAY_ADDRESS": self.address}

    def _at(self, place: tuple[str, int]) -> Machine:
        return next(machine for machine in self.machines if machine.address == place[0])

    def _start(self, machine: Machine, *options: str) -> subprocess.Popen:
        common = f"--node-ip-address={machine.address}", f"--num-cpus={self._cpus}", f"--object-store-memory={MEMORY}"
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return machine.start("ray", "start", *options, *common, environment=self.environment, **pipes)


@final
class OneNetwork:
    """A Ray cluster whose nodes share the network and the processes of this machine."""

    def __init__(self, reason: str, cluster: subprocess.Popen, environment: Mapping[str, str], folder: Path) -> None:
        self.kind = f"ray.cluster_utils.Cluster, because {reason}"
        self._cluster, self._folder = cluster, folder
        self.address = self._printed()
        self._environment = {**environment, "RAY_ADDRESS": self.address}

    def add(self) -> None:
        """Add a node to the cluster."""
        assert self._cluster.stdin is not None
        self._cluster.stdin.write("\n")
        self._cluster.stdin.flush()
        self._printed()

    def disconnect(self, place: tuple[str, int]) -> None:
        """Stop all processes of a node (SIGSTOP): here, a node has no network of its own."""
        _signal_node(place[1], signal.SIGSTOP)

    def reconnect(self, place: tuple[str, int]) -> None:
        """Let the processes of a node go on."""
        _signal_node(place[1], signal.SIGCONT)

    def remove(self, place: tuple[str, int]) -> None:
        """Kill all processes of a node."""
        _signal_node(place[1], signal.SIGKILL)

    def start(self, *command: str, environment: Mapping[str, str], **options: Any) -> subprocess.Popen:
        """Start a driver on this machine and return at once. Any: options of `subprocess.Popen`."""
        options = {"cwd": self._folder, "text": True, **options}
        return subprocess.Popen(command, env={**self._environment, **environment}, **options)

    def call(self, function: Callable[..., Any], *arguments: object, seconds: float = 120.0) -> Any:
        """Call a function in a driver on this machine, and return its result. Any: of any type."""

        def run(*command: str) -> None:
            ended(self.start(*command, environment={}, stdout=subprocess.PIPE, stderr=subprocess.PIPE), seconds)

        return call_through(run, self._folder, function, arguments)

    def _printed(self) -> str:
        assert self._cluster.stdout is not None
        if line := self._cluster.stdout.readline().strip():
            return line
        raise TransportError(f"a Ray node of {self.kind} does not start; expected an address. See what Ray printed.")


@contextlib.contextmanager
def one_network(
    reason: str, count: int, cpus: int = 2, variables: Mapping[str, str] | None = None
) -> Iterator[OneNetwork]:
    """Start a cluster of `count` nodes that share this machine's network.

    reason: why simulated machines cannot be made; it appears in `kind`. cpus: logical CPUs of each node. variables:
    further environment variables of Ray.
    """
    with tempfile.TemporaryDirectory(prefix="n") as folder:
        program = sys.executable, "-P", "-c", _CLUSTER, str(count), str(cpus), str(MEMORY)
        (Path(folder) / "ray").mkdir()  # Ray writes its address into this folder, and does not make the folder
        environment = {**os.environ, **_QUIET, **(variables or {}), "TMPDIR": folder}
        cluster = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=folder, text=True
        )
        with cluster:  # at the end its standard input is closed, and then it stops the cluster
            yield OneNetwork(reason, cluster, environment, Path(folder))


def _signal_node(process: int, number: signal.Signals) -> None:
    """Send a signal to all processes of a Ray node. process: id of any process that the node's raylet has started."""
    while not os.readlink(f"/proc/{process}/exe").endswith("raylet"):
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        if process <= 1:
            raise TransportError(
                f"process {process} belongs to no Ray node; expected the id of an actor's process. Name another one."
            )
    for each in _with_children(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, number)


def _with_children(process: int) -> list[int]:
    found = [process]
    with contextlib.suppress(OSError):  # it has ended meanwhile
        for path in Path(f"/proc/{process}/task").glob("*/children"):
            found += [each for child in path.read_text().split() for each in _with_children(int(child))]
    return found
