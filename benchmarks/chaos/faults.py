"""The faults of a chaos run, dealt from a seed: what happens to which process or node, when, and in which grammar."""

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

GRAMMARS = ("backprop", "gan", "kickback", "dac")
MOMENTS = ("query phase", "response phase", "checkpoint", "recovery")
PLAYER, ORACLE, LOSS = "a player", "an oracle", "a loss"
COORDINATOR, GCS, RAYLET, DRIVER, NODE = "coordinator", "gcs_server", "raylet", "the driver", "a node"
KILL, STOP, HUP, CUT = "KILL", "STOP", "HUP", "CUT"
KINDS = {
    **{(role, how): 4 for role in (PLAYER, ORACLE, LOSS, COORDINATOR) for how in (KILL, STOP)},
    **{(DRIVER, how): 2 for how in (KILL, STOP, HUP)},
    **{(role, how): 1 for role in (GCS, RAYLET) for how in (KILL, STOP)},
    **{(NODE, how): 4 for how in (KILL, CUT)},
}
"""Each kind of fault: a role, and what happens to it. The value is the number of grammars that see it at each moment.

KILL, STOP and HUP are the signals; a killed node loses all its processes. CUT is the loss of a node's cable. The kinds
of value 1 take about a minute each.
"""
DECK = len(MOMENTS) * sum(KINDS.values())


@dataclass(frozen=True)
class Fault:
    """One fault in a run of a grammar.

    role, how: its kind. moment: one of MOMENTS. choice: which of several processes or nodes it strikes, as a number
    between 0 and 1. gap: number of rounds after the last fault.
    """

    number: int
    grammar: str
    role: str
    how: str
    moment: str
    choice: float
    gap: int

    @property
    def ends(self) -> bool:
        """Whether the fault ends the run, so that `antiphon resume` must continue it."""
        return self.role in (GCS, RAYLET) or (self.role == DRIVER and self.how != STOP)


def dealt(count: int, seed: int) -> list[Fault]:
    """Return `count` faults, in random order, at random distances and with random victims.

    Of `DECK` faults, each kind has the same number at each moment and in each grammar. Fewer are a random part of these
    faults; more begin a new deck.
    """
    source, cells = random.Random(seed), list[tuple[str, str, str, str]]()
    while len(cells) < count:
        cells += source.sample(deck := _deck(), len(deck))
    return [
        Fault(number, grammar, role, how, moment, source.random(), source.randint(5, 60))
        for number, (grammar, role, how, moment) in enumerate(cells[:count])
    ]


def _deck() -> list[tuple[str, str, str, str]]:
    """Return grammar, role, how and moment of each fault of a deck."""
    return [
        (GRAMMARS[(shift + of_moment + of_kind) % len(GRAMMARS)], *kind, moment)
        for of_kind, (kind, grammars) in enumerate(KINDS.items())
        for of_moment, moment in enumerate(MOMENTS)
        for shift in range(grammars)
    ]


def write_faults(path: Path, faults: list[Fault]) -> None:
    """Write faults into a file, for the process that causes them."""
    path.write_text(json.dumps([asdict(fault) for fault in faults]))


def read_faults(path: Path) -> list[Fault]:
    """Return the faults in a file that `write_faults` wrote."""
    return [Fault(**fields) for fields in json.loads(path.read_text())]


def read_log(path: Path) -> list[dict[str, Any]]:  # Any: JSON
    """Return the entries of a log that a `Striker` wrote."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
