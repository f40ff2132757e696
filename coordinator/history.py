"""The history of a run: generations of channels, rounds that were played, and recoveries, as a file of JSON lines."""

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from antiphon.errors import ExperimentError, RoundError

HISTORY = "history.jsonl"
"""The name of the file in a run folder."""


@dataclass(frozen=True)
class Recovery:
    """A report of one recovery.

    worker: the worker, or "coordinator", that died or stalled; empty if only a connection was lost. round: the round of
    the failure; -1 if unknown. noticed: the text of the error. restored: the round of the checkpoint from which all
    workers continued. replayed: number of complete rounds that were played again. generation: the number of the new
    channels. seconds: time from the error until all workers were ready to play.
    """

    worker: str
    round: int
    noticed: str
    restored: int
    replayed: int
    generation: int
    seconds: float


@final
class History:
    """Writes the history of a run to the file `path`, one entry a line. If `path` is None, no file is written.

    The driver writes the history. After the coordinator's death, the new coordinator gets its generation from the
    history. An existing file at `path` is read first, so that a resumed run never uses a generation twice.
    Raises ExperimentError if the file is not a history, RoundError if it cannot be written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path, entries = path, read_history(path) if path is not None and path.exists() else []
        self.generation = max((entry["generation"] for entry in entries), default=0)

    def open_generation(self) -> int:
        """Return the number of the next generation of channels. The number is written to the disk first."""
        self.generation += 1
        self._add("opened", durable=True)
        return self.generation

    def played(self, first: int, behind: int) -> None:
        """Record that the rounds from `first` to `behind - 1` were played, and have passed the audit."""
        self._add("played", first=first, behind=behind)

    def restored(self, round: int) -> None:
        """Record that all workers have loaded the state before `round`. Later rounds no longer count."""
        self._add("restored", restored=round)

    def recovered(self, recovery: Recovery) -> None:
        """Record the report of a recovery."""
        self._add("recovered", **asdict(recovery))

    def _add(self, event: str, durable: bool = False, **more: Any) -> None:  # Any: JSON
        if self._path is None:
            return
        entry, end = {"event": event, "generation": self.generation, **more}, 0
        try:
            with self._path.open("a", encoding="utf-8") as file:
                end = file.tell()
                file.write(json.dumps(entry) + "\n")
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):  # a part of a line would spoil the next one
                os.truncate(self._path, end)
            raise RoundError(
                f"history {str(self._path)!r} cannot be written: {error.strerror or error}. "
                "Expected a run folder with room; free space, then resume the run."
            ) from error


def committed(entries: Iterable[dict[str, Any]]) -> list[range]:  # Any: JSON
    """Return the rounds that count in a history, as ranges in order. Each round stands in one range.

    If a run returns to an earlier state, the rounds after it do not count until they are played again.

    >>> committed([{"event": "played", "first": 0, "behind": 9}, {"event": "restored", "restored": 5},
    ...            {"event": "played", "first": 5, "behind": 12}])
    [range(0, 5), range(5, 12)]
    """
    found: list[range] = []
    for entry in entries:
        if entry["event"] == "played":
            found.append(range(entry["first"], entry["behind"]))
        elif "restored" in entry:
            cut = (range(each.start, min(each.stop, entry["restored"])) for each in found)
            found = [each for each in cut if each]
    return found


def read_history(path: Path) -> list[dict[str, Any]]:  # Any: JSON
    """Return the entries of the history file of a run. Raises ExperimentError if the file is not a history."""
    try:
        # A killed driver may leave an incomplete last line. Nothing relied on it yet, so it is removed.
        whole, _, rest = path.read_text(encoding="utf-8").rpartition("\n")
        if rest:
            with path.open("a", encoding="utf-8") as file:
                file.truncate(len(f"{whole}\n".encode()) if whole else 0)
        entries = [json.loads(line) for line in whole.splitlines()]
        if not all(isinstance(entry["event"], str) and type(entry["generation"]) is int for entry in entries):
            raise TypeError("an entry without its event or generation")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ExperimentError(
            f"{str(path)!r} is no history of a run: {type(error).__name__}: {error}. Expected one JSON object a line, "
            "as antiphon writes them. Use the run folder as it was left, or start a new run."
        ) from error
    return entries
