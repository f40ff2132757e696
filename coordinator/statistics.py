"""The statistics of one worker over a batch of rounds: data for the audit and for the metrics of a run."""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from antiphon.coordinator.recording import Track


class Skipped(NamedTuple):
    """The moves of a player that were left out in a batch: their number, and round and reason of the last such move."""

    moves: int
    round: int
    reason: str

    def after(self, earlier: "Skipped | None") -> "Skipped":
        """Return this record with the number of earlier skipped moves added. Round and reason stay the same."""
        return self._replace(moves=self.moves + (earlier.moves if earlier else 0))


@dataclass
class WorkerStatistics:
    """The counts, times and results of one worker in a batch of rounds, for the audit and the run's metrics.

    sent, received: the rounds in which a message left or arrived, by edge number. moves: the rounds of each player's
    moves. losses: (rounds, values) of each loss node. reports: from each oracle. rounds: number of complete rounds.
    seconds: duration of the batch on this worker's clock. waiting: the part of it spent in sending and receiving.
    payload: bytes of the values sent, by number of edge or sum. wire: bytes that the channel sent for them. queries:
    how often each oracle node was asked. products: how often each product of R was computed. track: when each action
    was played, if the assignment asks for a recording. skipped: moves left out because the player's agent failed.
    contributed, collected: the rounds in which this worker sent a term or received a sum, by the number of the sum.
    digests: a digest of the parameters of each replicated player, at the end of the batch.
    """

    worker: str
    sent: dict[int, list[int]] = field(default_factory=dict)
    received: dict[int, list[int]] = field(default_factory=dict)
    moves: dict[str, list[int]] = field(default_factory=dict)
    losses: dict[str, tuple[array, array]] = field(default_factory=dict)
    reports: dict[str, dict[str, float]] = field(default_factory=dict)
    rounds: int = 0
    seconds: float = 0.0
    waiting: float = 0.0
    payload: Counter[int] = field(default_factory=Counter)
    wire: Counter[int] = field(default_factory=Counter)
    queries: Counter[str] = field(default_factory=Counter)
    products: Counter[str] = field(default_factory=Counter)
    track: Track | None = None
    skipped: dict[str, Skipped] = field(default_factory=dict)
    contributed: dict[int, list[int]] = field(default_factory=dict)
    collected: dict[int, list[int]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
