"""The statistics of one worker over a batch of rounds: data for the audit and for the metrics of a run."""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, NamedTuple, final

from antiphon.coordinator.plan.steps import Query
from antiphon.coordinator.recording import Track
from antiphon.grammars.derived import Derivative
from antiphon.grammars.query import Kind, Node


class Skipped(NamedTuple):
    """The moves of a player that were left out in a batch: their number, and round and reason of the last such move."""

    moves: int
    round: int
    reason: str

    def after(self, earlier: "Skipped | None") -> "Skipped":
        """Return a copy of this record with the number of earlier skipped moves added.

        Round and reason stay the same.
        """
        return self._replace(moves=self.moves + (earlier.moves if earlier else 0))


@dataclass(frozen=True)
class Nonfinite:
    """NaN or infinity at one place of the rounds: how often, the first round, the step of the schedule, and a text."""

    count: int
    round: int
    position: int
    text: str

    def again(self, count: int = 1) -> "Nonfinite":
        """Return a copy of this record with a larger count."""
        return replace(self, count=self.count + count)


@final
class RoundTally:
    """A list of rounds, stored as ranges. Rounds at equal distances, such as those of one cadence, are one range.

    >>> tally = RoundTally([4, 6, 8, 10, 11])
    >>> tally.ranges, len(tally)
    ([range(4, 11, 2), range(11, 12)], 5)
    """

    __slots__ = ("_complete", "_first", "_last", "_step")

    def __init__(self, rounds: Iterable[int] = ()) -> None:
        self._complete: list[range] = []
        self._first, self._last, self._step = 0, -1, 0  # of the range that may go on; a step of 0 is not yet known
        for round in rounds:
            self.append(round)

    def append(self, round: int) -> None:
        """Append a round to the list."""
        if self._step and round == self._last + self._step:
            self._last = round
        elif self._first == self._last < round:
            self._last, self._step = round, round - self._last
        else:
            self._complete = self.ranges
            self._first, self._last, self._step = round, round, 0

    @property
    def ranges(self) -> list[range]:
        """All rounds of the list, as ranges."""
        return [*self._complete, *filter(None, [range(self._first, self._last + 1, self._step or 1)])]

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(self.ranges)

    def __len__(self) -> int:
        return sum(map(len, self.ranges))


def _counts() -> defaultdict[Any, int]:  # Any: numbers or names
    return defaultdict(int)  # a `Counter` takes four times as long to unpack


def _by_number() -> defaultdict[int, RoundTally]:
    return defaultdict(RoundTally)


@dataclass
class WorkerStatistics:
    """The counts, times and results of one worker in a batch of rounds, for the audit and the run's metrics.

    Only the values of the losses and a recording grow with the number of rounds.

    sent, received: the rounds in which a message left or arrived, by edge number. moves: the rounds of each player's
    moves. losses: (rounds, values) of each loss node. reports: numbers that each oracle and agent reports. rounds:
    number of complete rounds.
    seconds: duration of the batch on this worker's clock. waiting: the part of `seconds` spent in sending and
    receiving. payload: bytes of the values sent, by number of edge or all-reduce. wire: bytes that the channel sent for
    these values. queries: how often each oracle node was asked. products: how often each vector-Jacobian product of the
    Response graph was computed. track: when each action was played, if the assignment asks for a recording. skipped:
    moves left out because the player's agent failed. contributed, collected: the rounds in which this worker gave its
    term to an all-reduce or received the result, by number of the all-reduce. digests: a digest of the parameters of
    each replicated player, at the end of the batch. nonfinite: the places where a value was NaN or infinite.
    """

    worker: str
    sent: dict[int, RoundTally] = field(default_factory=_by_number)
    received: dict[int, RoundTally] = field(default_factory=_by_number)
    moves: dict[str, RoundTally] = field(default_factory=lambda: defaultdict(RoundTally))
    losses: dict[str, tuple[RoundTally, array]] = field(default_factory=dict)
    reports: dict[str, dict[str, float]] = field(default_factory=dict)
    rounds: int = 0
    seconds: float = 0.0
    waiting: float = 0.0
    payload: dict[int, int] = field(default_factory=_counts)
    wire: dict[int, int] = field(default_factory=_counts)
    queries: dict[str, int] = field(default_factory=_counts)
    products: dict[str, int] = field(default_factory=_counts)
    track: Track | None = None
    skipped: dict[str, Skipped] = field(default_factory=dict)
    contributed: dict[int, RoundTally] = field(default_factory=_by_number)
    collected: dict[int, RoundTally] = field(default_factory=_by_number)
    digests: dict[str, str] = field(default_factory=dict)
    nonfinite: dict[str, Nonfinite] = field(default_factory=dict)


def is_counted(node: Node, step: Query) -> bool:
    """Whether a query counts: to an oracle, or a vector-Jacobian product that is a value of the Query graph.

    A product counts once, not again for each replica and each micro-batch.
    """
    parts = (part for slot in step.writes for part in (slot.share, slot.microbatch) if part)
    return node.kind is Kind.ORACLE or (isinstance(node.view, Derivative) and not any(part.index for part in parts))
