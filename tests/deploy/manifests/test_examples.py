"""The committed examples are what `make manifests` writes."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from antiphon.cli.app import app
from antiphon.deploy.manifests import KINDS

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "deploy" / "manifests" / "examples"
RECIPE = (ROOT / "Makefile").read_text().replace("$(MANIFESTS)", "deploy/manifests/examples")
LINES = [shlex.split(line) for line in re.findall(r"^\t\$\(BIN\)/antiphon (manifest .*)$", RECIPE, re.MULTILINE)]
EXAMPLE_OF = {Path(line[-1]).name: line[:-2] for line in LINES}


def test_there_is_one_of_each_kind_that_is_not_of_this_machine_alone():
    assert {line[1] for line in EXAMPLE_OF.values()} == set(KINDS) - {"constraints"}
    assert {*EXAMPLE_OF, "experiment.toml"} == {path.name for path in EXAMPLES.iterdir()}


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the examples were made on Python 3.11, which they pin")
@pytest.mark.parametrize("name", EXAMPLE_OF)
def test_it_is_what_the_command_writes(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    told = CliRunner().invoke(app, EXAMPLE_OF[name], catch_exceptions=False)
    assert told.stdout == (EXAMPLES / name).read_text(), "run `make manifests`"
