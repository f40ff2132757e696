"""The faults of a chaos run, drawn from a seed: which process gets which signal, and at which moment."""

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

WORKER, COORDINATOR, GCS, RAYLET, DRIVER = "a worker", "coordinator", "gcs_server", "raylet", "the driver"
MOMENTS = ("query phase", "response phase", "checkpoint", "recovery")
_KINDS = {
    (WORKER, "KILL"): 8,
    (WORKER, "STOP"): 4,
    (COORDINATOR, "KILL"): 3,
    (COORDINATOR, "STOP"): 2,
    (DRIVER, "KILL"): 2,
    (DRIVER, "HUP"): 1,
    (GCS, "KILL"): 1,
    (RAYLET, "KILL"): 1,
}
"""Role and signal of each kind of fault, and its weight."""
_SLOW = {(GCS, "STOP"): 1, (RAYLET, "STOP"): 1}
"""Kinds of faults that take about a minute each. One of fifty faults is of these kinds."""
ENDS = (DRIVER, GCS, RAYLET)
"""Roles whose fault ends the run. `antiphon resume` continues it."""


@dataclass(frozen=True)
class Fault:
    """One fault: a signal to one process at one moment.

    role, signal: the kind of process, and the signal without "SIG". moment: one of MOMENTS. choice: which worker gets
    the signal, as a number between 0 and 1. gap: number of rounds after the last fault.
    """

    number: int
    role: str
    signal: str
    moment: str
    choice: float
    gap: int


def drawn(count: int, seed: int) -> list[Fault]:
    """Draw `count` faults. If there are enough faults, every kind happens at every moment."""
    source = random.Random(seed)
    kinds, slow = list(_KINDS), list(_SLOW)
    found = []
    for number in range(count):
        role, signal = source.choices(kinds, weights=list(_KINDS.values()))[0]
        if number % 50 == 49:
            role, signal = slow[number // 50 % len(slow)]
        moment = MOMENTS[number % len(MOMENTS)]
        found.append(Fault(number, role, signal, moment, source.random(), source.randint(5, 60)))
    return found


def write_faults(path: Path, faults: list[Fault]) -> None:
    """Write faults into a file, for the process that sends the signals."""
    path.write_text(json.dumps([asdict(fault) for fault in faults]))


def read_faults(path: Path) -> list[Fault]:
    """Return the faults in a file that `write_faults` wrote."""
    return [Fault(**fields) for fields in json.loads(path.read_text())]


def read_log(path: Path) -> list[dict[str, Any]]:  # Any: JSON
    """Return the entries of a log that a `Striker` wrote."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
