"""A grammar is added by the files that docs/contributing.md names, and nothing else: it is then found everywhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from antiphon.runs.bundle import copy_antiphon

FILES = {
    "grammars/library/straight_line.py": '''
"""A line through points."""
import torch
import antiphon


def straight_line(nature: antiphon.OracleDeclaration) -> antiphon.Grammar:
    """One player, least squares."""
    q = antiphon.QueryDraft()
    x, y = q.oracle("Nature", nature)()
    line = q.player("Line", torch.nn.Linear, 1, 1)(x)
    objective = antiphon.minimise(q.loss("Loss", torch.nn.functional.mse_loss)(line, y))
    return antiphon.Grammar("straight-line", q.graph(), antiphon.chain_rule(q, objective), objective, antiphon.exact())
''',
    "checks/suites/straight_line.py": '''
"""A line through points: exact on random ones."""
import torch
import antiphon
from antiphon.checks.suite import Case, Suite
from antiphon.grammars.library.straight_line import straight_line


def instance(seed: int) -> antiphon.Grammar:
    """Random points."""
    x, y = torch.randn(2, 16, 1, generator=torch.Generator().manual_seed(seed))
    return straight_line(antiphon.arrays(x, y, batch=4))


SUITE = Suite("straight-line", (Case("random points", instance, instances=2),))
''',
    "recipes/straight_line.py": '''
"""Experiments with a line through points."""
import torch
import antiphon
from antiphon.grammars.library.straight_line import straight_line
from antiphon.recipes.common.recipe import Evaluation, Recipe, trained
from antiphon.recipes.common.tables import Count, Table


class StraightLineTable(Table):
    """batch: examples a round."""

    batch: Count = 8


def build(table: StraightLineTable) -> antiphon.Grammar:
    """The line y = 3 x."""
    x = torch.linspace(-1, 1, 32)[:, None]
    return straight_line(antiphon.arrays(x, 3 * x, batch=table.batch))


def evaluate(table, evaluation, grammar, states) -> Evaluation:
    """The slope."""
    return Evaluation("slope", "lines", (float(trained(grammar, "Line", states).weight.detach()),))


RECIPE = Recipe("straight-line", StraightLineTable, build, evaluate, suite="antiphon.checks.suites.straight_line:SUITE")
''',
    "experiments/straight-line.toml": """\
# A line through points.
# guarantee: exact; players: Line; oracles: Nature
grammar = "straight-line"
rounds = 400

[agent]
optimizer = "SGD"
arguments = { lr = 0.5 }

[straight_line]
batch = 16
""",
}


@pytest.fixture
def added(tmp_path) -> Path:
    """A copy of antiphon with one grammar more."""
    copy_antiphon(tmp_path / "antiphon")
    for name, text in FILES.items():
        (tmp_path / "antiphon" / name).write_text(text.lstrip("\n"))
    return tmp_path


def told(folder: Path, program: str) -> str:
    command = [sys.executable, "-P", "-c", program]
    environment = {"PYTHONPATH": str(folder), "PATH": ""}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    return done.stdout


COMMAND = "import sys; sys.argv = ['antiphon', *{!r}]; from antiphon.cli.app import main; main()"


@pytest.mark.slow
def test_a_grammar_that_was_added_is_listed_checked_run_drawn_and_played_on_ray_with_the_others(added):
    assert "straight-line" in told(added, COMMAND.format(["list"]))
    report = json.loads(told(added, COMMAND.format(["check", "straight-line", "--json"])))
    assert [row["verdict"] for row in report["rows"]] == ["kept"]
    run = told(added, COMMAND.format(["run", "straight-line", "--set", "straight_line.batch=8"]))
    assert "evaluation slope: 3.0" in run
    shown = (
        "from antiphon.pictures.gallery import library; print(*library())"  # whose grammars Ray plays in tests/deploy
    )
    assert "straight-line" in told(added, shown).split()
