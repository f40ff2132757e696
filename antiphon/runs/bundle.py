"""Pack the code of a run for a cluster: the antiphon package, the experiment, and the user's modules.

Ray, torch and the other dependencies must be installed on the cluster. antiphon is sent as unpacked files and not as a
wheel, because Ray would install a wheel and its dependencies with pip on every node.
"""

import contextlib
import importlib.util
import shutil
import site
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import antiphon
from antiphon.deploy.jobs import CodeBundle
from antiphon.deploy.leftovers import owned_folder
from antiphon.errors import ExperimentError
from antiphon.runs.folder import EXPERIMENT

SUBPACKAGES = ("agents", "coordinator", "deploy", "envs", "grammars", "oracles", "transport")
"""Subpackages of antiphon that, in a development install, are not in the folder of the package."""

_LIMIT = 200 * 2**20
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


@contextlib.contextmanager
def packed(experiment: str) -> Iterator[CodeBundle]:
    """Context manager that makes a bundle of the code that a run needs on a cluster, and removes its files at the end.

    The bundle contains the antiphon package and the user's modules: all modules that are imported in this process but
    not installed. Build the grammar and the agents first, so that all modules that they need are imported.
    experiment: the experiment as TOML text.
    Raises ExperimentError if the user's modules exceed 200 MiB.
    """
    with owned_folder() as place:
        folder, package = Path(place) / "run", Path(place) / "antiphon"
        folder.mkdir()
        (folder / EXPERIMENT).write_text(experiment, encoding="utf-8")
        for path in own_modules():
            _copy(path, folder / path.name)
        _check_size(folder)
        copy_antiphon(package)
        yield CodeBundle(folder, (package,))


def copy_antiphon(target: Path) -> None:
    """Copy the running antiphon package to `target`, with the layout of an installed wheel."""
    _copy(Path(str(antiphon.__file__)).parent, target)
    for name in SUBPACKAGES:
        spec = importlib.util.find_spec(f"antiphon.{name}")
        assert spec is not None and spec.submodule_search_locations  # part of this distribution
        if not (target / name).exists():
            _copy(Path(next(iter(spec.submodule_search_locations))), target / name)


def own_modules() -> list[Path]:
    """Return the files and folders of the user's modules: imported top-level modules that are not installed."""
    tops = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names - {"antiphon", "__main__"}
    paths = {path for name in tops for path in _path_of(name)}
    return sorted(path for path in paths if path.exists() and not _installed(path))


def _path_of(name: str) -> list[Path]:
    module = sys.modules.get(name)
    places = list(getattr(module, "__path__", None) or [])
    file = getattr(module, "__file__", None)
    found = places or ([file] if file else [])
    return [Path(path).resolve() for path in found if isinstance(path, str)]


def _installed(path: Path) -> bool:
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    places = [*(sysconfig.get_path(kind) for kind in kinds), *site.getsitepackages(), site.getusersitepackages()]
    # A virtual environment also uses the standard library of the Python that it was made from.
    places += [sysconfig.get_path(kind, vars={"base": sys.base_prefix}) for kind in kinds[:2]]
    return any(path.is_relative_to(Path(place).resolve()) for place in places)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=_LEFT_OUT)
    else:
        shutil.copyfile(source, target)


def _check_size(folder: Path) -> None:
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    if sum(sizes.values()) > _LIMIT:
        largest, total = max(sizes, key=lambda path: sizes[path]).relative_to(folder), sum(sizes.values()) / 2**20
        raise ExperimentError(
            f"your own modules are {total:.0f} MiB, the largest file {str(largest)!r}; expected at most "
            f"{_LIMIT / 2**20:.0f} MiB to be shipped. Keep data outside of packages, where every node can read it."
        )
