"""The interface of all executors: play the rounds of an assignment, read its states, save, close."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from antiphon.coordinator.plan.assignment import Assignment
from antiphon.coordinator.recording import Recording
from antiphon.coordinator.statistics import Skipped, WorkerStatistics
from antiphon.grammars.oracle import State

Key = TypeVar("Key")


class Losses(NamedTuple):
    """One loss over a batch of rounds: the rounds in which it was computed, and its value in each."""

    rounds: list[int]
    values: list[float]


@dataclass(frozen=True)
class Played:
    """The result of a batch of rounds that passed the audit.

    round: the next round to play. rounds: how many were played. losses: values of each loss node.
    reports: what each oracle reported. seconds: duration on each worker. waiting: the part of it spent on messages.
    messages: number sent, by edge number. payload: bytes of their values. wire: bytes that the channels sent for them.
    Sums over replicas are in payload and wire too. terms: number of terms sent for each sum, by the sum's number.
    queries: how often each oracle node of Q was asked. products: how often each product of R was computed.
    recording: None unless the assignment asks for one. skipped: per player, moves left out because its agent failed.
    digests: per replica and player, a digest of the parameters. Equal digests mean equal bits.
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
        """Build the result from the statistics of all workers. round: the next round. rounds: how many were played."""
        statistics = list(statistics)
        return cls(
            round,
            rounds,
            losses={
                name: Losses(list(at), list(values))
                for each in statistics
                for name, (at, values) in each.losses.items()
            },
            reports={name: report for each in statistics for name, report in each.reports.items()},
            seconds={each.worker: each.seconds for each in statistics},
            waiting={each.worker: each.waiting for each in statistics},
            messages={number: len(at) for each in statistics for number, at in each.sent.items()},
            payload=_total(each.payload for each in statistics),
            wire=_total(each.wire for each in statistics),
            queries=_total(each.queries for each in statistics),
            products=_total(each.products for each in statistics),
            recording=Recording.of({each.worker: each.track for each in statistics}),
            skipped={player: each for one in statistics for player, each in one.skipped.items()},
            digests={each.worker: each.digests for each in statistics if each.digests},
            terms=_total({number: len(at) for number, at in each.contributed.items()} for each in statistics),
        )


def _total(counts: Iterable[Mapping[Key, int]]) -> Counter[Key]:
    # `sum` copies the counter for each worker: for 10 000 workers that takes 200 times as long as the audit.
    found: Counter[Key] = Counter()
    for each in counts:
        found.update(each)
    return +found


class Executor(Protocol):
    """Plays an assignment. The same assignment gives the same numbers on every executor.

    Use an executor as a context manager, or call `close`, which stops everything that it started.
    """

    assignment: Assignment

    @property
    def round(self) -> int:
        """The next round to play. Raises ProtocolError in the middle of a round (see `play`)."""
        ...

    def play(self, rounds: int) -> Played:
        """Play the next rounds. Blocks until all workers have played them and the audit is done.

        The first Ctrl-C lets every worker finish the current round, and then raises KeyboardInterrupt. After any other
        exception, or a second Ctrl-C, the state belongs to no round boundary: `round`, `play`, `states` and `save` are
        refused until `load`.
        """
        ...

    def states(self) -> Mapping[str, State]:
        """Return the states at the round boundary, by name: of players with their agents, of clones, of oracles."""
        ...

    def load(self, states: Mapping[str, State], round: int) -> None:
        """Load states that `states` returned, and continue at `round`, the next round to play."""
        ...

    def save(self, folder: Path) -> None:
        """Write a checkpoint: two files per state, then one manifest, which an atomic rename puts in place."""
        ...

    @property
    def ending(self) -> bool:
        """Whether another process asked the run to end. The driver decides when to stop."""
        ...

    def close(self) -> None:
        """Stop everything that was started. May be called twice."""
        ...

    def __enter__(self) -> "Executor": ...

    def __exit__(self, *_: object) -> None: ...
