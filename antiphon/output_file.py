"""Write an output file, and check beforehand, before any work is done, that the file can be written."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from antiphon.errors import ExperimentError


def check_output(path: Path, endings: Collection[str]) -> None:
    """Raise ExperimentError unless a file can be written at `path`, and `path` ends in one of `endings`.

    Upper and lower case are equal.
    """
    if path.suffix.lower() not in endings:
        raise ExperimentError(
            f"file {str(path)!r} ends in {path.suffix or 'nothing'}; expected one of {', '.join(endings)}. "
            "The ending chooses the format: change it."
        )
    check_folder(path)


def check_folder(path: Path) -> None:
    """Raise ExperimentError unless a file can be written at `path`. The file is opened, and removed if it was new."""
    if not path.parent.is_dir():
        raise unwritable(path, f"there is no folder {str(path.parent)!r}")
    new = not path.exists()
    try:
        with path.open("ab"):
            pass
        if new:
            path.unlink()
    except OSError as error:
        raise unwritable(path, "it is a folder" if path.is_dir() else error.strerror or type(error).__name__) from None


def write(path: Path, content: str | bytes) -> None:
    """Write bytes, or a text in UTF-8, to a file. Raises ExperimentError if this fails."""
    try:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    except OSError as error:
        raise unwritable(path, error.strerror or type(error).__name__) from None


def unwritable(path: Path, reason: str) -> ExperimentError:
    """Return the error for an output file that cannot be written. reason: why, in words."""
    return ExperimentError(
        f"file {str(path)!r} cannot be written: {reason}. Expected a file in a folder that exists and may be written "
        "to; correct the path."
    )


def finite(value: Any) -> Any:  # Any: JSON
    """Return a copy of a JSON value in which None replaces infinities and NaN, which JSON cannot represent."""
    return json.loads(json.dumps(value), parse_constant=lambda _: None)
