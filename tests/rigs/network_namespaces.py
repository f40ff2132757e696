"""Several simulated machines on this machine, for tests and measurements: Linux namespaces, connected by a switch.

Each simulated machine has its own network address, processes, host name, shared memory, home folder and temporary
folder. The machines share all other files. If a machine is killed, all its processes end. `ray stop` on a machine does
not stop processes of the others. The network cannot be reached from outside. All machines end with the process that
made them.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from ray import cloudpickle

from antiphon.errors import TransportError
from rigs import delay_line

NETWORK = "10.77.0."
_NEEDED = ("ip", "nsenter", "setpriv", "tc", "unshare")
_ENTERED = ("--net", "--pid", "--mount", "--uts", "--ipc")
_KINDS = (*_ENTERED, "--mount-proc")
_SWITCH = "switch"
_SHELL = ("sh", "-c")
_LATE = 100e-6  # seconds by which a timer of the kernel may be late
# Process 1 of a machine. It reaps orphans. It ends when its standard input closes: when the process that made it ends.
_INIT = (
    "import os, signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); print(os.getpid(), flush=True); os.read(0, 1)"
)
_CALL = (
    "import sys; from ray import cloudpickle; function, arguments = cloudpickle.load(open(sys.argv[1], 'rb')); "
    "cloudpickle.dump(function(*arguments), open(sys.argv[2], 'wb'))"
)


def why_not() -> str:
    """Return the reason why machines cannot be made on this system; empty if they can."""
    missing = [tool for tool in _NEEDED if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} is not installed"
    done = subprocess.run(["unshare", *_KINDS, "--fork", "true"], capture_output=True, text=True, timeout=30)
    return "" if done.returncode == 0 else done.stderr.strip() or "unshare failed"


def ended(process: subprocess.Popen, seconds: float = 60.0, check: bool = True) -> subprocess.CompletedProcess:
    """Wait until a process with pipes has ended, and return its result. Kill the process after `seconds`.

    Raises TransportError with the output of the process, if `check` is true and the process failed or was killed.
    """
    with process:
        try:
            out, error = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            out, error = process.communicate()
            error += f"(killed after {seconds:g} s)"
    if check and process.returncode:
        said = f"{process.args} ended with {process.returncode}"
        raise TransportError(f"{said}; expected 0. It printed:\n{out}{error}")
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def call_through(
    run: Callable[..., object], folder: Path, function: Callable[..., Any], arguments: Sequence[object]
) -> Any:  # Any: what the function returns
    """Call a function in a new Python process that `run` starts, and return its result.

    The module of the function is pickled by value, so the process need not be able to import it.
    """
    module = sys.modules[function.__module__]
    cloudpickle.register_pickle_by_value(module)
    try:
        given = cloudpickle.dumps((function, arguments))  # pyright: ignore[reportPrivateImportUsage]  (it is public)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    with tempfile.TemporaryDirectory(dir=folder) as here:
        there, back = Path(here) / "call", Path(here) / "result"
        there.write_bytes(given)
        run(sys.executable, "-P", "-c", _CALL, str(there), str(back))
        return cloudpickle.loads(back.read_bytes())


@final
class Machine:
    """One simulated machine of `Machines`. It can run commands, and can be disconnected, slowed and killed.

    address: its address in the network of the machines. home: its home folder, which this process can see too.
    temporary: its temporary folder. The path is the same on each machine; only processes of the machine see its files.
    """

    def __init__(self, name: str, address: str, home: Path) -> None:
        self.name, self.address, self.home = name, address, home
        # Ray nodes keep their session under the path that the head chose. Each node must find its own session there.
        self.temporary = home.parent / "t"
        self.temporary.mkdir(exist_ok=True)
        home.mkdir()
        self._init = subprocess.Popen(
            ["unshare", *_KINDS, "--fork", "--kill-child", sys.executable, "-I", "-S", "-c", _INIT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=home,
        )
        assert self._init.stdout is not None
        if not self._init.stdout.readline():
            raise TransportError(f"machine {name!r} does not start: {why_not()}. Expected Linux, and rights of root.")
        self.pid = int(Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text().split()[0])

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables of a process on the machine.

        They are the variables of this process without those of Ray, with the machine's own folders. PATH begins with
        the folder of this Python.
        """
        own = {"HOME": str(self.home), "TMPDIR": str(self.temporary), "HOSTNAME": self.name}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        return {**{k: v for k, v in os.environ.items() if not k.startswith("RAY_")}, **own, "PATH": path}

    def start(self, *command: str, environment: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen:
        """Start a command on the machine and return at once. Any: options of `subprocess.Popen`."""
        here = "env", f"--chdir={self.home}"  # a path inside the namespace: nsenter starts in its root folder
        # nsenter stays outside and forks. Its child must end when nsenter ends.
        entered = ["nsenter", f"--target={self.pid}", *_ENTERED, "--", "setpriv", "--pdeathsig=KILL", *here, *command]
        variables = {**self.environment, **(environment or {})}
        options = {"stdin": subprocess.DEVNULL, "text": True, **options}
        return subprocess.Popen(entered, env=variables, **options)

    def run(
        self, *command: str, environment: Mapping[str, str] | None = None, seconds: float = 60.0, check: bool = True
    ) -> subprocess.CompletedProcess:
        """Run a command on the machine, wait for its end, and return the result. Kill it after `seconds`.

        Raises TransportError with the command's output, if `check` is true and the command failed or was killed.
        """
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return ended(self.start(*command, environment=environment, **pipes), seconds, check)

    def call(
        self,
        function: Callable[..., Any],
        *arguments: object,
        environment: Mapping[str, str] | None = None,
        seconds: float = 120.0,
    ) -> Any:  # Any: what the function returns
        """Call a function in a new Python process on the machine, and return its result.

        The module of the function is pickled by value, so the machine need not be able to import it.
        """

        def run(*command: str) -> None:
            self.run(*command, environment=environment, seconds=seconds)

        return call_through(run, self.home, function, arguments)

    def processes(self) -> list[str]:
        """Return the command lines of the machine's processes, without process 1.

        The list is empty if the machine was killed.
        """
        if self._init.poll() is not None:
            return []
        own, found = os.readlink(f"/proc/{self.pid}/ns/pid"), []
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and process.name != str(self.pid):
                with contextlib.suppress(OSError):  # the process ended meanwhile
                    if os.readlink(process / "ns" / "pid") == own:
                        found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip())
        return found

    def unplug(self) -> None:
        """Disconnect the machine from the network. Frames are lost in both directions, without an error."""
        self.run("ip", "link", "set", "eth0", "down")

    def limit(self, rate: float) -> None:
        """Limit the sending rate to `rate` bits per second, with a token bucket of `tc`. 0 removes the limit."""
        self.run("tc", "qdisc", "delete", "dev", "eth0", "root", check=False)
        if rate:
            # Size of a burst after a pause: two packets, or the bytes that were not sent because a timer was late.
            bucket = max(3100, int(rate / 8 * _LATE))
            shape = "rate", f"{rate:.0f}bit", "burst", f"{bucket}b", "limit", "16mb"
            self.run("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", *shape)

    def sent(self) -> int:
        """Return the number of bytes that the machine has sent, including network headers."""
        told = self.run("ip", "-json", "-statistics", "link", "show", "eth0").stdout
        return json.loads(told)[0]["stats64"]["tx"]["bytes"]

    def kill(self) -> None:
        """Kill the machine: all its processes end at once. May be called twice."""
        assert self._init.stdin is not None and self._init.stdout is not None
        self._init.kill()
        self._init.wait()
        self._init.stdin.close()
        self._init.stdout.close()


@final
class Machines:
    """A network of named machines. Use it in a `with` statement: it makes the machines and kills them at the end.

    The addresses are `10.77.0.1`, `10.77.0.2` and so on, in the order of the names. Each machine can resolve the names.
    Raises TransportError if machines cannot be made on this system (see `why_not`).
    """

    def __init__(self, *names: str) -> None:
        self._names = names
        self.folder = Path()
        self.by_name: dict[str, Machine] = {}
        self._line: subprocess.Popen | None = None
        self._scope = contextlib.ExitStack()

    def __enter__(self) -> "Machines":
        # The path is short, because the paths of sockets contain it.
        self.folder = Path(tempfile.mkdtemp(prefix="m"))
        self._scope.callback(shutil.rmtree, self.folder, ignore_errors=True)
        try:
            self._switch = self._make(_SWITCH, "")
            self._switch.run("ip", "link", "add", "bridge", "type", "bridge")
            self._switch.run("ip", "link", "set", "bridge", "up")
            for number, name in enumerate(self._names, start=1):
                self.by_name[name] = self._make(name, f"{NETWORK}{number}")
            for machine in self.by_name.values():
                self._join(machine)
            self.delay(0.0)
        except BaseException:
            self._scope.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._scope.close()

    def __getitem__(self, name: str) -> Machine:
        return self.by_name[name]

    def __iter__(self) -> Iterator[Machine]:
        return iter(self.by_name.values())

    def cut(self, name: str) -> None:
        """Cut the cable of a machine, at the switch. Frames are lost in both directions, without an error."""
        self._switch.run("ip", "link", "set", name, "nomaster")

    def mend(self, name: str) -> None:
        """Connect the cable of a machine with the switch again, after `cut`."""
        self._switch.run("ip", "link", "set", name, "master", "bridge")

    def delay(self, seconds: float) -> None:
        """Set the one-way delay of frames between all machines, in seconds. 0 removes the delay."""
        if self._line is not None:
            self._line.kill()
            self._line.communicate()
            self._line = None
        for name in self._names:
            self._switch.run("ip", "link", "set", name, *(["nomaster"] if seconds else ["master", "bridge"]))
        if seconds:
            program = sys.executable, "-I", "-S", str(delay_line.__file__), str(seconds), *self._names
            self._line = self._switch.start(*program, stdout=subprocess.PIPE)
            assert self._line.stdout is not None
            if not self._line.stdout.readline():
                raise TransportError("the delay line does not start; expected raw sockets. See what it printed above.")

    def _make(self, name: str, address: str) -> Machine:
        machine = Machine(name, address, self.folder / name)
        self._scope.callback(machine.kill)
        return machine

    def _join(self, machine: Machine) -> None:
        """Connect a machine to the switch. Set its address and its files of host names; it has no name server."""
        near = ["nsenter", f"--target={machine.pid}", "--net", "--"]
        cable = [
            "ip",
            "link",
            "add",
            "eth0",
            "type",
            "veth",
            "peer",
            "name",
            machine.name,
            "netns",
            str(self._switch.pid),
        ]
        subprocess.run([*near, *cable], check=True)
        hosts, resolve = self.folder / "hosts", self.folder / "resolv.conf"
        everyone = "".join(f"{each.address} {each.name}\n" for each in self.by_name.values())
        hosts.write_text(f"127.0.0.1 localhost\n{everyone}")
        resolve.write_text("nameserver 127.0.0.1\n")
        hidden = " && ".join(f"mount -t tmpfs none {each.home}" for each in self if each is not machine) or "true"
        script = (
            "ip link set lo up && "
            f"ip address add {machine.address}/24 dev eth0 && ip link set eth0 up && ip route add default dev eth0 && "
            f"hostname {machine.name} && mount -t tmpfs none /dev/shm && mount -t tmpfs none {machine.temporary} && "
            f"{hidden} && "
            f"mount --bind {hosts} /etc/hosts && mount --bind {resolve} /etc/resolv.conf"
        )
        machine.run(*_SHELL, script)
        self._switch.run("ip", "link", "set", machine.name, "up")
