"""Environments and commands that see neither the repository nor the development environment's paths."""

import os
import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement


def outside(*command: str | Path, cwd: str | Path, timeout: float = 150) -> subprocess.CompletedProcess[str]:
    """Run a command in the folder `cwd`, without variables of Python and of virtual environments."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=clean, capture_output=True, text=True, timeout=timeout
    )


def printed(*command: str | Path, cwd: str | Path, timeout: float = 150) -> str:
    """Return the standard output of a command, which must succeed."""
    done = outside(*command, cwd=cwd, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(home: Path, wheel: Path) -> Path:
    """Make a virtual environment in the folder `home` that contains only this wheel. Returns its site-packages."""
    venv.create(home, symlinks=True)
    install = "-m", "pip", "--python", home / "bin" / "python", "install", "--quiet", "--no-deps", "--no-index", wheel
    printed(sys.executable, *install, cwd=home)
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(home)}))


def link_requirements(site: Path) -> None:
    """Link all packages that the only package in `site` requires, without extras, into `site`.

    The linked packages are those of the development environment.
    """
    (package,) = metadata.distributions(path=[str(site)])
    for name in _required(package.requires or []):
        found = metadata.distribution(name)
        for top in {path.parts[0] for path in found.files or []} - {"..", "__pycache__"}:
            if not (site / top).exists():  # several packages have modules under `google`
                (site / top).symlink_to(str(found.locate_file(top)))


def _required(requirements: list[str]) -> set[str]:
    """Return the names of all packages that the requirements need, also indirectly."""
    seen: set[tuple[str, str]] = set()
    waiting = [(each, "") for each in requirements]
    while waiting:
        text, wanted_by = waiting.pop()
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": wanted_by}):
            continue
        for extra in {"", *requirement.extras}:
            if (requirement.name, extra) not in seen:
                seen.add((requirement.name, extra))
                waiting += [(each, extra) for each in metadata.requires(requirement.name) or []]
    return {name for name, _ in seen}
