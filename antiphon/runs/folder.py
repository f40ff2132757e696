"""Make, check and read run folders. A run folder has the experiment, metrics, checkpoints and a summary of a run."""

import contextlib
import itertools
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, final

from safetensors import SafetensorError

from antiphon.coordinator.checkpoint import MANIFEST, load_states, read_manifest
from antiphon.errors import AntiphonError, ExperimentError, RoundError
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.oracle import State
from antiphon.launching import Launched

EXPERIMENT, SUMMARY, CHECKPOINTS = "experiment.toml", "summary.json", "checkpoints"


@final
class RunFolder:
    """The folder of one run. Use `make` for a new folder, `open` for an existing one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def make(cls, path: Path | None, grammar: str, experiment: str) -> "RunFolder":
        """Make the folder of a new run and write the experiment into it.

        path: the folder; None chooses a new name in `runs/`. grammar: name of the grammar, for this name.
        experiment: the experiment as TOML text.
        Raises ExperimentError if the folder belongs to another run, or cannot be made.
        """
        if path is None:
            path = next(filter(_made, default_paths(grammar)))
            made = True
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
            _remove(path) if made else None
            raise _cannot_be_made(path, error) from None
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open the folder of an earlier run. Raises ExperimentError if `path` is not a run folder."""
        if not os.path.isfile(path / EXPERIMENT):  # `Path.is_file` raises for a name that is too long
            raise ExperimentError(
                f"{str(path)!r} is no run folder: expected {EXPERIMENT} in it, found none. "
                "Name a folder that `antiphon run` has made."
            )
        return cls(path)

    def save(self, game: Launched, keep: int) -> Path:
        """Write a checkpoint of a running game, and return the checkpoint's folder.

        Older checkpoints are removed, so that `keep` checkpoints remain.
        Raises AntiphonError, whose message names the folder, if the checkpoint cannot be written.
        """
        folder = self.path.resolve() / CHECKPOINTS / f"round-{game.round:09d}"
        try:
            game.save(folder)
        except (OSError, SafetensorError) as error:
            _remove(folder)
            raise cannot_be_written(folder, error) from error
        except AntiphonError as error:
            _remove(folder)
            error.add_note(f"while checkpoint {str(folder)!r} was written")
            raise
        for old in self.checkpoints()[:-keep]:
            # The manifest goes first: if the removal is interrupted, the rest no longer counts as a checkpoint.
            (old / MANIFEST).unlink(missing_ok=True)
            _remove(old)
        return folder

    def checkpoints(self) -> list[Path]:
        """Return the folders of all complete checkpoints, oldest first."""
        return sorted(path.parent for path in (self.path / CHECKPOINTS).glob(f"round-*/{MANIFEST}"))

    def newest(self) -> tuple[int, dict[str, State]]:
        """Load the newest complete checkpoint. Raises ExperimentError if there is none.

        Returns (number of rounds played, state of each player, clone and oracle by name).
        """
        found = self.checkpoints()
        if not found:
            raise ExperimentError(
                f"{str(self.path)!r} has no complete checkpoint; expected one in {CHECKPOINTS}/. "
                "Let a run write one first (key 'checkpoint_every')."
            )
        manifest = read_manifest(found[-1])
        return manifest.round, load_states(found[-1], manifest.names)

    def summarise(self, summary: Mapping[str, Any]) -> None:  # Any: JSON
        """Write the summary of a run that has ended, in place of any earlier summary.

        Raises RoundError if it cannot be written.
        """
        draft = self.path / f"{SUMMARY}.part"
        try:
            draft.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")
            draft.replace(self.path / SUMMARY)
        except OSError as error:
            raise cannot_be_written(self.path / SUMMARY, error) from error


def default_paths(grammar: str) -> Iterator[Path]:
    """Yield default paths of a new run folder: `runs/<grammar>-<date>-<time>`, then the same with -2, -3, and so on."""
    name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in grammar)[:100]
    base = Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    yield base
    yield from (base.with_name(f"{base.name}-{number}") for number in itertools.count(2))


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
        "until the end of the run; free some space and start again, the last complete checkpoint is kept."
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


def _made(path: Path) -> bool:
    """Make a folder. Returns True if it was made, and False if it existed.

    If several processes make the same folder at the same time, only one gets True.
    Raises ExperimentError if the folder cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return True
    except OSError as error:
        raise _cannot_be_made(path, error) from None
    return False


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
