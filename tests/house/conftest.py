"""The repository as the house tests see it: its root, and the files that belong to it."""

import fnmatch
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rigs.outside import printed

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


@pytest.fixture(scope="session")
def wheel(root, files, tmp_path_factory) -> Path:
    """A wheel built from a copy: a stale build folder would put removed modules into it."""
    source = tmp_path_factory.mktemp("source")
    for path in files:
        target = source / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    printed(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", source / "dist", source, cwd=source)
    (built,) = (source / "dist").glob("*.whl")
    return built
