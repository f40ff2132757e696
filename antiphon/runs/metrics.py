"""Write the metrics of a run: a record for each batch of rounds, as JSON lines and as TensorBoard events."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, final

from antiphon.coordinator.executor import Played
from antiphon.runs.folder import cannot_be_written

FILE = "metrics.jsonl"


@dataclass(frozen=True)
class Record:
    """The metrics of one batch of rounds.

    round: number of rounds played so far. seconds: time since the first round began.
    losses: mean of each loss over the batch. reports: numbers that each oracle reports.
    settings: numbers that depend on the round, such as the scale of the noise.
    skipped: number of skipped moves since the first round, for each player whose agent failed while the run went on
    (see `on_failure`). failures: the last failure of each such player, as text.
    """

    round: int
    seconds: float
    rounds_per_second: float
    losses: Mapping[str, float]
    reports: Mapping[str, Mapping[str, float]]
    settings: Mapping[str, float]
    skipped: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, played: Played, seconds: float, batch_seconds: float, settings: Mapping[str, float]) -> "Record":
        """Make a record from a batch of rounds. A loss that was not computed in the batch is left out.

        seconds: time since the first round began. batch_seconds: duration of the batch.
        """
        losses = {name: mean(values) for name, (_, values) in sorted(played.losses.items()) if values}
        reports = {name: dict(report) for name, report in sorted(played.reports.items())}
        speed = played.rounds / max(batch_seconds, 1e-9)
        skipped = {player: each.moves for player, each in sorted(played.skipped.items())}
        failures = {player: f"round {each.round}: {each.reason}" for player, each in sorted(played.skipped.items())}
        figures = losses, reports, dict(settings), skipped, failures
        return cls(played.round, round(seconds, 3), round(speed, 2), *figures)

    def after(self, earlier: "Record") -> "Record":
        """Return this record with the skipped moves and failures of the earlier record added."""
        both = {*earlier.skipped, *self.skipped}
        skipped = {player: earlier.skipped.get(player, 0) + self.skipped.get(player, 0) for player in sorted(both)}
        return replace(self, skipped=skipped, failures={**earlier.failures, **self.failures})

    @property
    def scalars(self) -> Mapping[str, float]:
        """Losses, reports, settings, skipped moves and speed in one flat mapping, for TensorBoard."""
        losses = {f"losses/{name}": value for name, value in self.losses.items()}
        told = {f"{name}/{key}": value for name, report in self.reports.items() for key, value in report.items()}
        skipped = {f"skipped/{player}": float(moves) for player, moves in self.skipped.items()}
        return {**losses, **told, **self.settings, **skipped, "rounds_per_second": self.rounds_per_second}


@final
class Metrics:
    """Writes records into a run folder and flushes each record.

    Raises RoundError with the name of the file if writing fails.
    """

    def __init__(self, folder: Path) -> None:
        self._lines_path = folder / FILE
        try:
            self._lines = self._lines_path.open("w")
        except OSError as error:
            raise cannot_be_written(self._lines_path, error) from error
        self._events = _events(folder)

    def write(self, record: Record) -> None:
        """Write one JSON line and one TensorBoard event."""
        try:
            self._lines.write(json.dumps(finite(asdict(record)), allow_nan=False) + "\n")
            self._lines.flush()
        except OSError as error:
            raise cannot_be_written(self._lines_path, error) from error
        if self._events is not None:
            self._events.write(record.round, record.scalars)

    def close(self) -> None:
        """Close both files. Errors are ignored, because every write was flushed and checked."""
        for file in filter(None, (self._lines, self._events)):
            try:
                file.close()
            except OSError:
                continue

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _events(folder: Path):  # noqa: ANN202 - Events, or None where TensorBoard, an extra, is not installed
    try:
        from antiphon.runs.events import Events
    except ImportError:
        return None
    return Events(folder)


def mean(values: Sequence[float]) -> float:
    """Return the mean, rounded only once. It is NaN if a value is NaN or infinite, which `fsum` may refuse.

    >>> mean([1e308, 1e308, float("nan")]), mean([1.0, 2.0])
    (nan, 1.5)
    """
    if not all(map(math.isfinite, values)):
        return math.nan
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return math.fsum(value / len(values) for value in values)


def finite(value: Any) -> Any:  # Any: JSON
    """Return the value with None in place of infinities and NaN, which JSON cannot represent."""
    return json.loads(json.dumps(value), parse_constant=lambda _: None)
