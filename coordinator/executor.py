"""The interface of all executors: play the rounds of an assignment, read its states, save, close."""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

from antiphon.coordinator.checkpoint import Labels, Manifest
from antiphon.coordinator.gauges import merged
from antiphon.coordinator.plan.assignment import Assignment
from antiphon.coordinator.recording import Recording
from antiphon.coordinator.statistics import Nonfinite, Skipped, WorkerStatistics
from antiphon.coordinator.storage import Place
from antiphon.grammars.oracle import State

Key = TypeVar("Key")


class Losses(NamedTuple):
    """The values of one loss in a batch of rounds.

    rounds: the rounds in which the loss was computed. values: the value in each of these rounds.
    """

    rounds: list[int]
    values: list[float]


@dataclass(frozen=True)
class Played:
    """The result of a batch of rounds that passed the audit.

    round: the next round to play. rounds: number of rounds played. losses: rounds and values of each loss, by name.
    reports: numbers that each oracle and agent reported. seconds: duration on each worker. waiting: the part of
    `seconds` that was spent on messages.
    messages: number of messages sent, by edge number. payload: bytes of the values sent, by number of edge or
    all-reduce. wire: bytes that the channels sent for these values. terms: number of terms that replicas sent to each
    all-reduce.
    queries: how often each oracle node of the Query graph was asked. products: how often each vector-Jacobian product
    of the Response graph was computed.
    recording: when each worker played each action; None unless the assignment asks for it. skipped: per player, the
    moves that were left out because its agent failed. digests: per worker and replicated player, a digest of the
    parameters. Equal digests mean equal bits. nonfinite: where values were NaN or infinite, the first place first.
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
    nonfinite: Mapping[str, Nonfinite] = field(default_factory=dict)

    @classmethod
    def of(cls, statistics: Iterable[WorkerStatistics], round: int, rounds: int) -> "Played":
        """Return the result of a batch of rounds, from the statistics of all workers.

        round: the next round to play. rounds: number of rounds that were played.
        """
        statistics = list(statistics)
        return cls(
            round,
            rounds,
            losses={
                name: Losses(list(at), list(values))
                for each in statistics
                for name, (at, values) in each.losses.items()
            },
            reports=merged(*(each.reports for each in statistics)),
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
            nonfinite=_first_first(statistics),
            terms=_total({number: len(at) for number, at in each.contributed.items()} for each in statistics),
        )


def _first_first(statistics: Iterable[WorkerStatistics]) -> dict[str, Nonfinite]:
    """Return the NaN and infinite values that all workers found, by worker and place, the first round first."""
    found = {f"{each.worker}: {place}": what for each in statistics for place, what in each.nonfinite.items()}
    return dict(sorted(found.items(), key=lambda item: (item[1].round, item[1].position)))


def _total(counts: Iterable[Mapping[Key, int]]) -> dict[Key, int]:
    found: dict[Key, int] = {}
    for each in counts:
        for key, count in each.items():
            found[key] = found.get(key, 0) + count
    return {key: count for key, count in found.items() if count}


class Executor(Protocol):
    """Plays the rounds of an assignment. The same assignment gives the same numbers on every executor.

    Use an executor as a context manager, or call `close`, which stops everything that it started.
    """

    assignment: Assignment

    @property
    def round(self) -> int:
        """The next round to play.

        Raises ProtocolError after an interrupted or failed round, until `load` restores a state.
        """
        ...

    def play(self, rounds: int) -> Played:
        """Play the next rounds. Blocks until all workers have played them and the audit is done.

        The first Ctrl-C lets every worker finish the current round, and then raises KeyboardInterrupt. After any other
        exception, or a second Ctrl-C, the run stays inside a round. Then `round`, `play`, `states` and `save` raise
        ProtocolError until `load` restores a state.
        """
        ...

    def states(self, learned: bool = False) -> Mapping[str, State]:
        """Return the states of all players (with their agents), clones and oracles, by name.

        learned: only what an evaluation needs: no clones, and of an oracle only what its method `learned` returns, if
        it has one. The run must be between two rounds.
        """
        ...

    def load(self, states: Mapping[str, State], round: int) -> None:
        """Load states that `states` returned, by name. round: the next round to play."""
        ...

    def save(self, folder: Place, labels: Labels | None = None) -> None:
        """Write a checkpoint into `folder`, which is made if it does not exist.

        labels: further contents of the manifest. The manifest is written last. Raises OSError.
        """
        ...

    def begin_save(self, folder: Place, labels: Labels | None = None) -> Future[Manifest]:
        """Copy all states now, and write them while the next rounds play. The folder must exist.

        Waits until the last checkpoint is written, and until the copies are made. The future has the result: the
        manifest, or the exception (OSError, AntiphonError).
        """
        ...

    @property
    def ending(self) -> bool:
        """Whether another process asked the run to end. The driver decides when to stop."""
        ...

    def close(self) -> None:
        """Stop everything that this executor started. May be called twice."""
        ...

    def __enter__(self) -> "Executor": ...

    def __exit__(self, *_: object) -> None: ...
