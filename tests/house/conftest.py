"""The repository as the house tests see it: its root, and the files that belong to it."""

import fnmatch
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _ignored(relative: Path, patterns: list[str]) -> bool:
    for pattern in patterns:
        anchored, name = pattern.startswith("/"), pattern.strip("/")
        parts = relative.parts[:1] if anchored else relative.parts
        if any(fnmatch.fnmatch(part, name) for part in parts):
            return True
    return False


def _walk(folder: Path, patterns: list[str]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if _ignored(path.relative_to(ROOT), patterns):
            continue
        if path.is_dir():
            yield from _walk(path, patterns)
        else:
            yield path


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def files() -> list[Path]:
    """Every file of the repository that .gitignore does not name; needs no git, so archives can be tested too."""
    lines = (ROOT / ".gitignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    return list(_walk(ROOT, [".git", *patterns]))
