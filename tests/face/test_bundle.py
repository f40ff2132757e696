"""What travels to a cluster: the whole package as its wheel has it, and the user's modules; nothing else."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import antiphon as package
from antiphon.errors import ExperimentError
from antiphon.runs import bundle

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("root", [None, ROOT / "antiphon"], ids=["in one tree", "from a development install"])
def test_the_package_travels_as_its_wheel_has_it(tmp_path, monkeypatch, root):
    if root:
        monkeypatch.setattr(package, "__file__", str(root / "__init__.py"))
    bundle.copy_antiphon(tmp_path / "antiphon")
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    expected = set()
    for name, folder in setuptools["package-dir"].items():
        for pattern in ("*.py", *setuptools["package-data"].get(name, [])):
            expected |= {
                Path(*name.split("."), path.relative_to(ROOT / folder)) for path in (ROOT / folder).glob(pattern)
            }
    found = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == expected


def test_the_package_that_travels_can_be_run(tmp_path):
    bundle.copy_antiphon(tmp_path / "antiphon")
    program = "import antiphon.deploy.jobs, antiphon.cli.app; print(antiphon.deploy.jobs.__file__)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == str(tmp_path / "antiphon/deploy/jobs.py"), done.stderr


def test_modules_of_ones_own_travel_and_installed_ones_do_not(place):
    (place / "agents").mkdir()
    (place / "agents/__init__.py").write_text("from mine_for_parcel import VALUE\n")
    (place / "agents/data.bin").write_bytes(b"data")
    (place / "agents/.secret").write_text("stays")
    (place / "mine_for_parcel.py").write_text("VALUE = 1\n")
    (place / "unused.py").write_text("")
    __import__("agents")
    found = [path for path in bundle.own_modules() if path.is_relative_to(place)]
    assert found == [place / "agents", place / "mine_for_parcel.py"]
    assert not [path for path in bundle.own_modules() if "site-packages" in path.parts]
    with bundle.packed("rounds = 1\n") as packed:
        names = {str(path.relative_to(packed.folder)) for path in packed.folder.rglob("*") if path.is_file()}
        assert names >= {"experiment.toml", "agents/__init__.py", "agents/data.bin", "mine_for_parcel.py"}
        assert not names & {"agents/.secret", "unused.py"}
    assert not packed.folder.exists()


def test_modules_that_are_too_large_are_refused(place, monkeypatch):
    monkeypatch.setattr(bundle, "own_modules", lambda: [place / "big"])
    monkeypatch.setattr(bundle, "_LIMIT", 2**20)
    (place / "big").mkdir()
    (place / "big/data.bin").write_bytes(b"0" * (3 * 2**20))
    with pytest.raises(ExperimentError) as caught, bundle.packed("rounds = 1\n"):
        pass
    assert str(caught.value) == (
        "your own modules are 3 MiB, the largest file 'big/data.bin'; expected at most 1 MiB to be shipped. "
        "Keep data outside of packages, where every node can read it."
    )
