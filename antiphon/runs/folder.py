"""Make, check and read run folders. A run folder has the experiment, metrics, checkpoints and a summary of a run."""

import contextlib
import fcntl
import itertools
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, final

from antiphon.coordinator.history import HISTORY
from antiphon.errors import ExperimentError, RoundError
from antiphon.grammars.grammar import Grammar

EXPERIMENT, SUMMARY = "experiment.toml", "summary.json"


@final
class RunFolder:
    """The folder of one run. Use `make` for a new folder, `open` for an existing one."""

    def __init__(self, path: Path, made: Path | None = None) -> None:
        self.path, self._made = path, made
        self._lock = _locked(path)
        self._identity = _identity(path)

    def close(self) -> None:
        """Unlock the folder, so that another process can continue the run. May be called twice."""
        self._lock.close()

    @classmethod
    def make(cls, path: Path | None, grammar: str, experiment: str) -> "RunFolder":
        """Make the folder of a new run and write the experiment into it.

        path: the folder; None chooses a new name in `runs/`. grammar: name of the grammar, for this name.
        experiment: the experiment as TOML text.
        Raises ExperimentError if the folder belongs to another run, or cannot be made.
        """
        if path is None:
            path, made = next((each, top) for each in default_paths(grammar) if (top := _made(each)))
        else:
            made = _made(path)
        try:
            _write_new(path / EXPERIMENT, experiment)
        except FileExistsError:
            raise ExperimentError(
                f"run folder {str(path)!r} was taken by another run meanwhile; expected a new or an empty folder. "
                "Choose another --out for each run."
            ) from None
        except OSError as error:
            _remove_made(path, made)
            raise _cannot_be_made(path, error) from None
        return cls(path, made)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open the folder of an earlier run, to continue it.

        Raises ExperimentError if `path` is not a run folder, or if a process still plays the run.
        """
        check_is_run(path)
        return cls(path)

    def check(self) -> None:
        """Raise RoundError if the folder was removed or replaced since this object was made."""
        try:
            found = _identity(self.path)
        except OSError as error:
            raise cannot_be_written(self.path, error) from error
        if found != self._identity:
            raise cannot_be_written(self.path, OSError("another folder has its name now"))

    def discard(self) -> None:
        """Remove the folder of a run that could not start. A folder that was there before is left, and empty."""
        _remove(self.path / EXPERIMENT)
        _remove(self.path / HISTORY)
        _remove_made(self.path, self._made)

    def summarise(self, summary: Mapping[str, Any]) -> None:  # Any: JSON
        """Write the summary of a run that has ended, in place of any earlier summary.

        Raises RoundError if it cannot be written.
        """
        self.check()
        draft = self.path / f"{SUMMARY}.part"
        try:
            draft.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")
            draft.replace(self.path / SUMMARY)
        except OSError as error:
            raise cannot_be_written(self.path / SUMMARY, error) from error


def check_is_run(path: Path) -> None:
    """Raise ExperimentError if `path` is not a run folder."""
    if not os.path.isfile(path / EXPERIMENT):  # `Path.is_file` raises for a name that is too long
        raise ExperimentError(
            f"{str(path)!r} is no run folder: expected {EXPERIMENT} in it, found none. "
            "Name a folder that `antiphon run` has made."
        )


def default_paths(grammar: str) -> Iterator[Path]:
    """Yield default paths of a new run folder: `runs/<grammar>-<date>-<time>`, then the same with -2, -3, and so on."""
    name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in grammar)[:100]
    base = Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    yield base
    yield from (base.with_name(f"{base.name}-{number}") for number in itertools.count(2))


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _locked(path: Path) -> IO[bytes]:
    """Lock a run folder until the result is closed, or this process ends. Raises ExperimentError if it is locked."""
    try:
        file = (path / EXPERIMENT).open("rb")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ExperimentError(
            f"run folder {str(path)!r} is in use by another process; expected a run that has ended. Stop that run, or "
            "wait for its end."
        ) from None
    except OSError as error:
        raise _cannot_be_made(path, error) from None
    return file


def check_place(path: Path, grammar: Grammar, keep: int) -> None:
    """Check that a run of this grammar can be written to the folder `path`, without creating anything.

    keep: number of checkpoints that the run keeps.
    Raises ExperimentError if `path` exists and is not an empty folder, or if permission or disk space is missing.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        what = "is not empty" if path.is_dir() else "is a file"
        raise ExperimentError(
            f"run folder {str(path)!r} exists and {what}; expected a new or an empty folder. "
            "Choose another --out, or remove it."
        )
    above = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        what = "does not allow it" if above.is_dir() else "is not a folder"
        raise ExperimentError(
            f"run folder {str(path)!r} cannot be made: {str(above)!r} {what}. "
            "Expected a folder that may be written to; choose another --out, or change its permissions."
        )
    needed, free = _room(grammar, keep), shutil.disk_usage(above).free
    if free < needed:
        raise ExperimentError(
            f"run folder {str(path)!r} has no room: expected at least {needed / 2**20:.1f} MiB for metrics and "
            f"checkpoints, found {free / 2**20:.1f} MiB free. Choose another --out, or free some space."
        )


def cannot_be_written(path: Path, error: Exception) -> RoundError:
    """Return the error for a run that can no longer write to `path`. error: the exception of the failed write."""
    return RoundError(
        f"{str(path)!r} cannot be written: {getattr(error, 'strerror', None) or error}. Expected room and permission "
        "until the end of the run; free some space, then resume the run: the last complete checkpoint is kept."
    )


def _room(grammar: Grammar, keep: int) -> int:
    """Estimate the bytes of a run folder with `keep` checkpoints.

    With the optimizer's state, a checkpoint has about three numbers per parameter.
    """
    spaces = (player.space for player in grammar.query.players)
    parameters = sum(size * space.dtype.itemsize for space in spaces for size in space.shape if isinstance(size, int))
    return 3 * parameters * (keep + 1) + 2**20


def _cannot_be_made(path: Path, error: OSError) -> ExperimentError:
    return ExperimentError(
        f"run folder {str(path)!r} cannot be made: {error.strerror}. "
        "Expected a place with room and permission; choose another --out."
    )


def _made(path: Path) -> Path | None:
    """Make a folder. Returns the topmost folder that was made for it; None if the folder existed.

    If several processes make the same folder at the same time, only one gets a folder.
    Raises ExperimentError if the folder cannot be made.
    """
    missing = list(itertools.takewhile(lambda each: not each.exists(), path.absolute().parents))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return [path.absolute(), *missing][-1]
    except OSError as error:
        raise _cannot_be_made(path, error) from None
    return None


def _remove_made(path: Path, made: Path | None) -> None:
    """Remove a folder and those above it, up to `made`. Folders above it that hold something else stay."""
    if made is None:
        return
    _remove(path)
    with contextlib.suppress(OSError):
        for above in path.absolute().parents:
            if not above.is_relative_to(made):
                return
            above.rmdir()


def _write_new(path: Path, text: str) -> None:
    """Write a new file. Raises FileExistsError if the file exists.

    If several processes write the same file at the same time, only one succeeds.
    """
    with path.open("x", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except OSError:
            _remove(path)
            raise


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
