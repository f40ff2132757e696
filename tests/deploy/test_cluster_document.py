"""docs/cluster.md, typed line by line on three machines, in the order of the page.

A machine is a set of Linux namespaces, so that `ray stop`, ports and `/proc/sys` are its own. Two commands are played:
`pip install antiphon` looks whether antiphon can be imported, for there is one environment and no index; `scp -r`
copies from home to home, for there is no ssh.
"""

import queue
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from rigs.network_namespaces import Machine, Machines

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "cluster.md"
NAMES = "head", "worker", "laptop"
SECONDS, REFUSED = 180.0, 60.0
"""What any line may take, and one that is refused: 10 on a machine that is not busy."""
PLAYED = "pip install antiphon"
OPEN = [range(6379, 6385), range(10002, 10202), range(20000, 21000), [52365, 8265, 10001]]
OWN = [44217, 44227]
"""Of the head's autoscaler and dashboard, for metrics; nobody needs to reach them."""


@dataclass(frozen=True)
class Line:
    """A command, on which machine, at which line of the page, and what the page says that it prints."""

    number: int
    machine: str
    command: str
    expected: tuple[str, ...]


def lines_of(text: str) -> list[Line]:
    """All commands of the console blocks.

    >>> lines_of("```console\\nhead$ a\\nb\\n...\\n```")
    [Line(number=2, machine='head', command='a', expected=('b', '...'))]
    """
    found: list[Line] = []
    inside = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and (typed := re.match(rf"({'|'.join(NAMES)})\$ (.+)", line)):
            found.append(Line(number, *typed.groups(), ()))  # pyright: ignore[reportCallIssue]  (two groups)
        elif inside:
            last = found.pop()
            found.append(Line(last.number, last.machine, last.command, (*last.expected, line)))
    return found


def matches(printed: str, expected: tuple[str, ...]) -> bool:
    """Whether a text is the expected one; `...` is anything, and a line of its own any number of lines."""
    pattern = "\n".join(expected)
    parts = (re.escape(part) for part in pattern.split("..."))
    return re.fullmatch(".*".join(parts), printed.strip(), re.DOTALL) is not None or (
        pattern.strip(".\n") == "" and bool(expected)
    )


class Terminal:
    """A shell on a machine, in its home, that keeps what it is told."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        quiet = {"RAY_USAGE_STATS_ENABLED": "0", "COLUMNS": "200", "TERM": "dumb"}
        self._shell = machine.start("bash", "--norc", environment=quiet, **pipes)
        self._lines: queue.Queue[str] = queue.Queue()
        self._number = count()
        threading.Thread(target=self._listen, daemon=True).start()

    def type(self, command: str, seconds: float = SECONDS) -> tuple[str, int]:
        """What a command prints, and its exit code."""
        end = f"--- {next(self._number)} ---"
        assert self._shell.stdin is not None
        self._shell.stdin.write(f'{{ {command}\n}} < /dev/null\necho "{end} $?"\n')
        self._shell.stdin.flush()
        printed, until = [], time.monotonic() + seconds
        while True:
            line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            if line.startswith(end):
                return "".join(printed), int(line.rsplit(" ", 1)[1])
            printed.append(line)

    def close(self) -> None:
        self._shell.kill()
        self._shell.communicate()

    def _listen(self) -> None:
        assert self._shell.stdout is not None
        for line in self._shell.stdout:
            self._lines.put(line)


@pytest.fixture
def terminals(namespaces) -> Iterator[dict[str, Terminal]]:
    with Machines(*NAMES) as machines:
        found = {name: Terminal(machines[name]) for name in NAMES}
        yield found
        for each in found.values():
            each.close()


def played(line: Line, terminals: dict[str, Terminal]) -> tuple[str, int]:
    """The line typed, or what stands for it."""
    terminal = terminals[line.machine]
    if line.command == PLAYED:
        return terminal.type("python -P -c 'import antiphon'")
    if copied := re.fullmatch(r"scp -r ~/(\S+) (\w+):", line.command):
        there, home = copied.groups()
        shutil.copytree(terminal.machine.home / there, terminals[home].machine.home / there)
        return "", 0
    return terminal.type(line.command)


def done(line: Line, terminals: dict[str, Terminal]) -> None:
    """Type a line, and see what it prints. A question for the status is asked again until the answer is the page's."""
    began = time.monotonic()
    printed, code = played(line, terminals)
    while asks(line) and not matches(printed, line.expected) and time.monotonic() < began + SECONDS:
        printed, code = played(line, terminals)
    print(f"{line.number}: {line.machine}$ {line.command}\n{printed}[{code}, {time.monotonic() - began:.1f} s]")
    refused = any(text.startswith("error:") for text in line.expected)
    told = f"docs/cluster.md:{line.number}: {line.command}\n{printed}"
    assert code == (2 if refused else 0), told
    assert matches(printed, line.expected), told
    assert not refused or time.monotonic() - began < REFUSED, told


def asks(line: Line) -> bool:
    return line.command.startswith("antiphon status")


def listening(machine: Machine) -> set[int]:
    """Ports on which somebody listens."""
    tables = machine.run("cat", "/proc/net/tcp", "/proc/net/tcp6").stdout.splitlines()
    fields = [line.split() for line in tables]
    return {int(each[1].rsplit(":", 1)[1], 16) for each in fields if len(each) > 3 and each[3] == "0A"}


def test_every_line_does_what_the_page_says(terminals):
    lines = lines_of(DOCUMENT.read_text())
    assert len(lines) > 25
    for line in lines:
        done(line, terminals)
        if line.command == "antiphon status forgers":
            ports = listening(terminals["head"].machine) | listening(terminals["worker"].machine)
            assert sorted(port for port in ports if not any(port in each for each in [*OPEN, OWN])) == []
    everything = [line for each in terminals.values() for line in each.machine.processes()]
    assert [line for line in everything if line.startswith(("ray::Worker", "ray::Coordinator"))] == []
