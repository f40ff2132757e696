"""What every executor does: play rounds of an assignment, tell states, save, close."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from antiphon.coordinator.plan.assignment import Assignment
from antiphon.coordinator.program import Skipped, WorkerStatistics
from antiphon.coordinator.recording import Recording
from antiphon.grammars.oracle import State

Key = TypeVar("Key")


class Losses(NamedTuple):
    """One loss over a batch of rounds: the rounds in which it was asked, and its values there."""

    rounds: list[int]
    values: list[float]


@dataclass(frozen=True)
class Played:
    """A batch of rounds that was played and audited.

    round: the next one to play. losses: per loss node, its values by round.
    reports: per oracle, what it had to report. seconds: per worker, spent in the batch; waiting: of them, for messages.
    messages, payload, wire: per edge number, how many left, bytes of their values, bytes that channels made of them;
    payload and wire of sums over replicas too. terms: per number of a sum, how many were contributed.
    queries: per oracle node of Q, how often it was asked; products: per product of R. recording: if it was asked for.
    skipped: per player, moves that were left out because its agent failed. digests: per replica and player, what its
    parameters are: equal digests, equal bits.
    """

    round: int
    rounds: int
    losses: Mapping[str, Losses]
    reports: Mapping[str, Mapping[str, float]]
    seconds: Mapping[str, float]
    waiting: Mapping[str, float]
    messages: Mapping[int, int]
    payload: Mapping[int, int]
    wire: Mapping[int, int]
    queries: Mapping[str, int]
    products: Mapping[str, int]
    recording: Recording | None = None
    skipped: Mapping[str, Skipped] = field(default_factory=dict)
    digests: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    terms: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, statistics: Iterable[WorkerStatistics], round: int, rounds: int) -> "Played":
        """From what the workers tallied."""
        statistics = list(statistics)
        losses = {
            name: Losses(list(at), list(values)) for each in statistics for name, (at, values) in each.losses.items()
        }
        reports = {name: report for each in statistics for name, report in each.reports.items()}
        seconds = {each.worker: each.seconds for each in statistics}
        waiting = {each.worker: each.waiting for each in statistics}
        messages = Counter({number: len(rounds) for each in statistics for number, rounds in each.sent.items()})
        payload = _total(each.payload for each in statistics)
        wire = _total(each.wire for each in statistics)
        queries = _total(each.queries for each in statistics)
        products = _total(each.products for each in statistics)
        recording = Recording.of({each.worker: each.track for each in statistics})
        counts = messages, payload, wire, queries, products
        skipped = {player: each for one in statistics for player, each in one.skipped.items()}
        digests = {each.worker: each.digests for each in statistics if each.digests}
        terms = sum(
            (Counter({n: len(at) for n, at in each.contributed.items()}) for each in statistics), Counter[int]()
        )
        return cls(round, rounds, losses, reports, seconds, waiting, *counts, recording, skipped, digests, terms)


def _total(counters: Iterable[Counter[Key]]) -> Counter[Key]:
    # `sum` copies what it has so far for each worker anew: 200 times as long as the audit for 10 000 of them.
    found: Counter[Key] = Counter()
    for each in counters:
        found.update(each)
    return +found


class Executor(Protocol):
    """Plays an assignment. The same assignment gives the same numbers on every executor.

    Use it as a context manager, or call `close`: what it started it stops.
    """

    assignment: Assignment

    @property
    def round(self) -> int:
        """The next round to play. ProtocolError where players are in the middle of a round (see `play`)."""
        ...

    def play(self, rounds: int) -> Played:
        """Play the next rounds; blocks until all of them are played by everyone, and audited.

        Ctrl-C ends the round in hand on every worker, and then raises KeyboardInterrupt. After any other exception, or
        a second Ctrl-C, the state is of no round: `round`, `play`, `states` and `save` are refused until `load`.
        """
        ...

    def states(self) -> Mapping[str, State]:
        """Everyone's state by name, at the round boundary: parameters, optimizers, clones, oracles."""
        ...

    def load(self, states: Mapping[str, State], round: int) -> None:
        """Continue from states that `states` returned before `round`."""
        ...

    def save(self, folder: Path) -> None:
        """Write a checkpoint: a file per name, then one manifest, atomically renamed."""
        ...

    @property
    def ending(self) -> bool:
        """Whether somebody asked the run to end, from elsewhere; it is at the driver to obey."""
        ...

    def close(self) -> None:
        """Stop what was started. May be called twice."""
        ...

    def __enter__(self) -> "Executor": ...

    def __exit__(self, *_: object) -> None: ...
