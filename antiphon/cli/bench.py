"""The command `antiphon bench`: find the benchmarks of a checkout, and run them one after the other."""

import ast
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import antiphon
from antiphon.columns import aligned
from antiphon.errors import ExperimentError

ROOT = Path(antiphon.__file__).resolve().parents[1]


def benchmarks() -> Mapping[str, Path]:
    """Return the file of each benchmark by name: the modules of benchmarks/ that run with `python -m`.

    Raises ExperimentError if antiphon does not run from a checkout.
    """
    folder = ROOT / "benchmarks"
    if not (folder / "RESULTS.md").is_file():
        raise ExperimentError(
            f"bench was called with antiphon installed in {ROOT}; expected a checkout with the folder benchmarks/, "
            "which is no part of the package. Clone the repository, run `make env` there, and call its antiphon."
        )
    files = [*sorted(folder.glob("*.py")), *sorted(folder.glob("*/__main__.py"))]
    named = {path.parent.name if path.stem == "__main__" else path.stem: path for path in files}
    return {name: path for name, path in named.items() if "__main__" in path.read_text(encoding="utf-8")}


def listed(found: Mapping[str, Path]) -> str:
    """Return a table of benchmarks as text: the name, and the first line of the docstring of the benchmark's file.

    found: the file of each benchmark, by name.
    """
    texts = {name: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for name, path in found.items()}
    return aligned(((name, text.partition("\n")[0]) for name, text in texts.items()), ("benchmark", "what it measures"))


def failed_of(names: Sequence[str]) -> list[str]:
    """Run benchmarks one after the other, and return the names of the benchmarks that failed.

    Each benchmark runs in its own process with default options, prints its results, and writes its section and pictures
    into benchmarks/. Raises ExperimentError for an unknown name, before any benchmark runs.
    """
    found = benchmarks()
    if unknown := [name for name in names if name not in found]:
        raise ExperimentError(
            f"bench was given {unknown[0]!r}; expected one or more of {', '.join(found)}, or --all alone. "
            "Name the benchmarks to run."
        )
    path = os.pathsep.join(filter(None, [str(ROOT / ".links"), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    commands = {name: [sys.executable, "-m", f"benchmarks.{name}"] for name in names}
    return [name for name, each in commands.items() if subprocess.run(each, cwd=ROOT, env=environment).returncode]
