"""The wheel holds every module and every data file of the repository, and works outside of it."""

import sysconfig
import zipfile
from pathlib import Path

import pytest

from rigs.outside import environment, printed

FOLDERS = ("agents", "antiphon", "coordinator", "deploy", "envs", "grammars", "oracles", "transport")


def installed_name(path: Path) -> Path:
    """Where a file of the repository (relative path) stands under site-packages."""
    return path if path.parts[0] == "antiphon" else Path("antiphon") / path


@pytest.fixture(scope="module")
def shipped(root, files) -> list[Path]:
    """Files of the package folders, as they must stand under site-packages."""
    relative = [path.relative_to(root) for path in files]
    return [installed_name(path) for path in relative if path.parts[0] in FOLDERS]


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """The interpreter of a clean environment with the wheel in it; dependencies come from this environment by path."""
    home = tmp_path_factory.mktemp("environment")
    site = environment(home, wheel)
    # After the install, else pip would find the development install; that one's import hook is not read from here.
    places = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    (site / "dependencies.pth").write_text("\n".join(places) + "\n")
    return home / "bin" / "python"


def test_every_file_is_installed(python, shipped, tmp_path):
    site = Path(printed(python, "-c", "import antiphon; print(antiphon.__file__)", cwd=tmp_path).strip()).parent.parent
    assert site.is_relative_to(python.parent.parent), f"antiphon was imported from {site}, not from the wheel"
    assert [str(path) for path in shipped if not (site / path).is_file()] == []


def test_every_module_imports_outside_the_repository(python, shipped, tmp_path):
    modules = [".".join(path.with_suffix("").parts) for path in shipped if path.suffix == ".py"]
    wanted = [name.removesuffix(".__init__") for name in modules if not name.endswith(".__main__")]
    printed(python, "-c", f"import importlib\nfor name in {wanted!r}: importlib.import_module(name)", cwd=tmp_path)


def test_only_antiphon_is_installed(wheel):
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"antiphon", "antiphon-0.1.0.dist-info"}


def test_the_command_is_installed(python, tmp_path):
    assert "antiphon" in printed(python.parent / "antiphon", "--help", cwd=tmp_path)
