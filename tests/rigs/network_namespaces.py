"""Several machines on this one, for tests and measurements: Linux namespaces joined by a switch.

Each has its own network with its own address, its own processes (a killed machine takes all of them along, and
`ray stop` in it reaches no other), host name, shared memory, home and temporary folder; all else that is on the disk,
they share. Nothing of it can be seen from outside, and all of it ends with the process that made it.
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
# Process 1 of a machine: adopts and forgets orphans, ends when its standard input does, that is, with its maker.
_INIT = (
    "import os, signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); print(os.getpid(), flush=True); os.read(0, 1)"
)
_CALL = (
    "import sys; from ray import cloudpickle; function, arguments = cloudpickle.load(open(sys.argv[1], 'rb')); "
    "cloudpickle.dump(function(*arguments), open(sys.argv[2], 'wb'))"
)


def why_not() -> str:
    """Why machines cannot be made here; empty if they can."""
    missing = [tool for tool in _NEEDED if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} is not installed"
    done = subprocess.run(["unshare", *_KINDS, "--fork", "true"], capture_output=True, text=True, timeout=30)
    return "" if done.returncode == 0 else done.stderr.strip() or "unshare failed"


def ended(process: subprocess.Popen, seconds: float = 60.0, check: bool = True) -> subprocess.CompletedProcess:
    """A process with pipes, when it has ended; it is killed after `seconds`.

    Raises TransportError, with what it printed, when that happens, or when it failed and `check` is on.
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
    """A function's result, computed by a Python that `run` starts; its module travels by value, in a file."""
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
    """One of `Machines`: runs commands, is unplugged, slowed and killed.

    address: in the network that it shares with the others. home: its own folder, to be seen from outside; temporary:
    of the same path on each, and seen by its own processes only.
    """

    def __init__(self, name: str, address: str, home: Path) -> None:
        self.name, self.address, self.home = name, address, home
        # Ray's nodes all keep their session under the path that the head chose; each must find its own there.
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
        """What a process on it finds: this one's, with a home of its own and the programs of this Python."""
        own = {"HOME": str(self.home), "TMPDIR": str(self.temporary), "HOSTNAME": self.name}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        return {**{k: v for k, v in os.environ.items() if not k.startswith("RAY_")}, **own, "PATH": path}

    def start(self, *command: str, environment: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen:
        """Start a command on it and return at once. Any: options of `subprocess.Popen`."""
        here = "env", f"--chdir={self.home}"  # by the path within: namespaces are entered at their root
        # nsenter stays outside and forks: what it starts is to end with it.
        entered = ["nsenter", f"--target={self.pid}", *_ENTERED, "--", "setpriv", "--pdeathsig=KILL", *here, *command]
        variables = {**self.environment, **(environment or {})}
        options = {"stdin": subprocess.DEVNULL, "text": True, **options}
        return subprocess.Popen(entered, env=variables, **options)

    def run(
        self, *command: str, environment: Mapping[str, str] | None = None, seconds: float = 60.0, check: bool = True
    ) -> subprocess.CompletedProcess:
        """Run a command on it to its end. With `check`, as `ended`."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return ended(self.start(*command, environment=environment, **pipes), seconds, check)

    def call(
        self,
        function: Callable[..., Any],
        *arguments: object,
        environment: Mapping[str, str] | None = None,
        seconds: float = 120.0,
    ) -> Any:  # Any: what the function returns
        """A function's result, computed by a Python of its own on it; the function's module travels by value."""

        def run(*command: str) -> None:
            self.run(*command, environment=environment, seconds=seconds)

        return call_through(run, self.home, function, arguments)

    def processes(self) -> list[str]:
        """The command lines of what runs on it, its first process left out; none of a machine that is off."""
        if self._init.poll() is not None:
            return []
        own, found = os.readlink(f"/proc/{self.pid}/ns/pid"), []
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and process.name != str(self.pid):
                with contextlib.suppress(OSError):  # it ended while we looked
                    if os.readlink(process / "ns" / "pid") == own:
                        found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip())
        return found

    def unplug(self) -> None:
        """Pull its network cable: nothing arrives and nothing leaves, and nobody is told."""
        self.run("ip", "link", "set", "eth0", "down")

    def limit(self, rate: float) -> None:
        """Let it send no more than so many bits a second, by a token bucket of `tc`; 0 lifts the limit."""
        self.run("tc", "qdisc", "delete", "dev", "eth0", "root", check=False)
        if rate:
            # What was saved up while nothing was sent goes at once: two packets, or what a late timer must make up for.
            bucket = max(3100, int(rate / 8 * _LATE))
            shape = "rate", f"{rate:.0f}bit", "burst", f"{bucket}b", "limit", "16mb"
            self.run("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", *shape)

    def sent(self) -> int:
        """Bytes that have left its network card, headers of the network included."""
        told = self.run("ip", "-json", "-statistics", "link", "show", "eth0").stdout
        return json.loads(told)[0]["stats64"]["tx"]["bytes"]

    def kill(self) -> None:
        """Switch it off: every process on it ends at once. May be called twice."""
        assert self._init.stdin is not None and self._init.stdout is not None
        self._init.kill()
        self._init.wait()
        self._init.stdin.close()
        self._init.stdout.close()


@final
class Machines:
    """A network of machines, by name, for the time of a `with`. Raises TransportError where `why_not` says why.

    Their addresses are counted from `10.77.0.1`, in the order of their names; each knows the others by name.
    """

    def __init__(self, *names: str) -> None:
        self._names = names
        self.folder = Path()
        self.by_name: dict[str, Machine] = {}
        self._line: subprocess.Popen | None = None
        self._scope = contextlib.ExitStack()

    def __enter__(self) -> "Machines":
        # Short, because sockets are named in it.
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

    def delay(self, seconds: float) -> None:
        """How long a frame is under way between any two machines, one way."""
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
        """Give it a cable to the switch, its address, and files that say who is who; name servers there are none."""
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
