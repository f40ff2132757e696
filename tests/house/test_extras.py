"""Installed without its extras antiphon lists, checks and runs; what needs one says which."""

from pathlib import Path

import pytest

from rigs.outside import environment, link_requirements, outside

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def antiphon(wheel, tmp_path_factory) -> Path:
    """The command of an environment with the wheel and the packages that it requires, and with no others."""
    home = tmp_path_factory.mktemp("without_extras")
    link_requirements(environment(home, wheel))
    return home / "bin" / "antiphon"


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["show", "backprop"],
        ["show", "gan", "--against=chain-rule"],
        ["check", "backprop", "--instances=1"],
        ["run", "backprop", "--rounds=2"],
        ["run", "backprop", "--rounds=2", "--executor=ray"],
        ["show", "backprop", "--schedule"],
        ["show", "backprop", "--placement=spread"],
        ["cost", "backprop", "--rounds=2"],
        ["manifest", "slurm", "backprop"],
    ],
    ids=" ".join,
)
def test_without_extras_it_works(antiphon, tmp_path, arguments):
    done = outside(antiphon, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["show", "backprop", "--out=a.svg"], "pictures"),
        (["show", "backprop", "--out=a.png"], "pictures"),
        (["show", "backprop", "--out=a.html"], "pictures"),
        (["show", "backprop", "--placement=spread", "--out=a.svg"], "pictures"),
        (["cost", "backprop", "--scan=layers=1,2", "--out=a.png"], "pictures"),
        (["run", "kickback", "--rounds=2"], "data"),
        (["run", "vae-mnist", "--rounds=2"], "data"),
    ],
    ids=str,
)
def test_what_needs_an_extra_names_it(antiphon, tmp_path, arguments, extra):
    done = outside(antiphon, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and f"pip install 'antiphon[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr
