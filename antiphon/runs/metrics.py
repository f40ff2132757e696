"""Write the metrics of a run to files: one record for each batch of rounds, as JSON lines and TensorBoard events."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import final

from antiphon.coordinator.executor import Played
from antiphon.coordinator.statistics import Nonfinite
from antiphon.output_file import finite as finite
from antiphon.recipes.common.recipe import Evaluation
from antiphon.runs.folder import cannot_be_written

FILE = "metrics.jsonl"
SCORE = "evaluation/score"
"""The metric by which evaluations during training choose the best checkpoint. Its highest value is the best."""


@dataclass(frozen=True)
class Record:
    """The metrics of one batch of rounds.

    round: number of rounds run so far. seconds: time since the first round began.
    losses: mean of each loss over the batch. reports: numbers that each oracle, and the agent of each player, reports.
    settings: numbers that depend on the round, such as the scale of the noise.
    evaluation: the evaluation after this batch, if there was one: "mean" and "deviation" of its numbers, "score" (the
    higher the better), number of "items", and how many were "cut".
    best: "mean", "score" and "round" of the best evaluation during training so far, and the number of evaluations
    "since"; empty before the first one.
    skipped: number of parameter updates that were skipped since the first round, for each player whose agent failed.
    failures: the last failure of each such player, as text.
    nonfinite: where values were NaN or infinite since the first round, and how often: see `Nonfinite`.
    """

    round: int
    seconds: float
    rounds_per_second: float
    losses: Mapping[str, float]
    reports: Mapping[str, Mapping[str, float]]
    settings: Mapping[str, float]
    evaluation: Mapping[str, float] = field(default_factory=dict)
    best: Mapping[str, float] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    nonfinite: Mapping[str, Nonfinite] = field(default_factory=dict)

    @classmethod
    def of(cls, played: Played, seconds: float, batch_seconds: float, settings: Mapping[str, float]) -> "Record":
        """Make a record from the result of a batch of rounds. A loss that the batch did not compute is left out.

        seconds: time since the first round began. batch_seconds: duration of the batch.
        """
        losses = {name: mean(values) for name, (_, values) in sorted(played.losses.items()) if values}
        reports = {name: dict(report) for name, report in sorted(played.reports.items())}
        speed = played.rounds / max(batch_seconds, 1e-9)
        skipped = {player: each.moves for player, each in sorted(played.skipped.items())}
        failures = {player: f"round {each.round}: {each.reason}" for player, each in sorted(played.skipped.items())}
        figures = losses, reports, dict(settings)
        wrong = {"skipped": skipped, "failures": failures, "nonfinite": dict(played.nonfinite)}
        return cls(played.round, round(seconds, 3), round(speed, 2), *figures, **wrong)

    @classmethod
    def read(cls, line: str) -> "Record":
        """Read a record from a line of `metrics.jsonl`. Raises ValueError or TypeError if the line is not a record."""
        told = json.loads(line)
        return cls(**{**told, "nonfinite": {place: Nonfinite(**each) for place, each in told["nonfinite"].items()}})

    def after(self, earlier: "Record") -> "Record":
        """Return a copy of this record to which the counts, failures and best of an earlier record are added."""
        both = {*earlier.skipped, *self.skipped}
        skipped = {player: earlier.skipped.get(player, 0) + self.skipped.get(player, 0) for player in sorted(both)}
        wrong = {
            place: found.again(self.nonfinite[place].count) if place in self.nonfinite else found
            for place, found in earlier.nonfinite.items()
        }
        failures = {**earlier.failures, **self.failures}
        return replace(
            self, skipped=skipped, failures=failures, nonfinite={**self.nonfinite, **wrong}, best=earlier.best
        )

    def evaluated(self, found: Evaluation) -> "Record":
        """Return a copy of this record with an evaluation of the players after its batch."""
        score = found.score(found.mean)
        own = {"mean": found.mean, "score": score, "deviation": found.deviation}
        own |= {"items": float(len(found.figures)), "cut": float(found.cut)}
        best = {**self.best, "since": self.best["since"] + 1} if self.best else {}
        if math.isfinite(score) and (not best or score > best["score"]):
            best = {"mean": found.mean, "score": score, "round": self.round, "since": 0}
        return replace(self, evaluation=own, best=best)

    @property
    def scalars(self) -> Mapping[str, float]:
        """All numbers of the record in one flat mapping from names to values, for TensorBoard."""
        losses = {f"losses/{name}": value for name, value in self.losses.items()}
        told = {f"{name}/{key}": value for name, report in self.reports.items() for key, value in report.items()}
        skipped = {f"skipped/{player}": float(moves) for player, moves in self.skipped.items()}
        wrong = {f"nonfinite/{place}": float(found.count) for place, found in self.nonfinite.items()}
        judged = {f"evaluation/{name}": value for name, value in self.evaluation.items()}
        speed = {"rounds_per_second": self.rounds_per_second}
        return {**losses, **told, **self.settings, **judged, **skipped, **wrong, **speed}


@final
class Metrics:
    """Writes records of metrics into the files of a run folder, and flushes the files after each record.

    Raises RoundError, whose message names the file, if writing fails.
    """

    def __init__(self, folder: Path, resumed_at: int | None = None) -> None:
        """Begin the files, or append to them. resumed_at: the round at which a resumed run continues.

        Events of later rounds stay in TensorBoard's files; a mark makes TensorBoard ignore them.
        """
        self._lines_path = folder / FILE
        try:
            self._lines = self._lines_path.open("w" if resumed_at is None else "a")
        except OSError as error:
            raise cannot_be_written(self._lines_path, error) from error
        self._events = _events(folder, resumed_at)

    def write(self, record: Record) -> None:
        """Write a record as one JSON line, and as one TensorBoard event if TensorBoard is installed."""
        try:
            self._lines.write(json.dumps(finite(asdict(record)), allow_nan=False) + "\n")
            self._lines.flush()
        except OSError as error:
            raise cannot_be_written(self._lines_path, error) from error
        if self._events is not None:
            self._events.write(record.round, record.scalars)

    def close(self) -> None:
        """Close the files. Errors are ignored, because every write was flushed and checked."""
        for file in filter(None, (self._lines, self._events)):
            try:
                file.close()
            except OSError:
                continue

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def cut_back(folder: Path, round: int) -> Record | None:
    """Remove the metrics of all rounds after `round` from `metrics.jsonl`. Return the last record that is left.

    Raises RoundError if the file cannot be read or written.
    """
    path, kept, last = folder / FILE, [], None
    try:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
            try:
                record = Record.read(line)
            except (ValueError, TypeError, LookupError):
                break  # the run was killed while it wrote this line
            if not line.endswith("\n") or record.round > round:
                break
            kept, last = [*kept, line], record
        if last is None:
            return None
        draft = path.with_name(f"{FILE}.part")
        draft.write_text("".join(kept), encoding="utf-8")
        draft.replace(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise cannot_be_written(path, error) from error
    return last


def _events(folder: Path, resumed_at: int | None):  # noqa: ANN202 - Events, or None where TensorBoard, an extra, is not installed
    try:
        from antiphon.runs.events import Events
    except ImportError:
        return None
    return Events(folder, resumed_at)


def mean(values: Sequence[float]) -> float:
    """Return the mean of the values, with only one rounding. It is NaN if a value is NaN or infinite.

    >>> mean([1e308, 1e308, float("nan")]), mean([1.0, 2.0])
    (nan, 1.5)
    """
    if not all(map(math.isfinite, values)):
        return math.nan
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return math.fsum(value / len(values) for value in values)
