"""Check that a command can write its output file before it does any work, and write the file."""

import os
from collections.abc import Sequence
from pathlib import Path

from antiphon.errors import ExperimentError


def check_output(path: Path, endings: Sequence[str]) -> None:
    """Raises ExperimentError unless the path has one of these endings and can be written."""
    if path.suffix not in endings:
        raise ExperimentError(
            f"--out {str(path)!r} ends in {path.suffix!r}; expected one of {', '.join(endings)}. "
            "The ending chooses the format: name another."
        )
    check_folder(path)


def check_folder(path: Path) -> None:
    """Raises ExperimentError unless a file can be written at this path."""
    if path.is_dir() or not path.parent.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        reason = "it is a folder" if path.is_dir() else "permission denied"
        raise unwritable(path, reason if path.parent.is_dir() else f"there is no folder {str(path.parent)!r}")


def write(path: Path, content: str | bytes) -> None:
    """Write bytes, or a text in UTF-8. Raises ExperimentError if this fails."""
    try:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    except OSError as error:
        raise unwritable(path, error.strerror or type(error).__name__) from None


def unwritable(path: Path, reason: str) -> ExperimentError:
    """The error for a path that cannot be written."""
    return ExperimentError(
        f"--out {str(path)!r} cannot be written: {reason}. Expected a file in a folder that exists and is yours; "
        "correct the path."
    )
