"""docs/contributing.md is followed with small examples: a grammar, a command, a channel, an environment, an order.

A grammar is added by the files that the page names, and by nothing else; it is then found everywhere.
"""

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


@pytest.fixture
def copied(tmp_path) -> Path:
    """A copy of antiphon."""
    copy_antiphon(tmp_path / "antiphon")
    return tmp_path


def extend(path: Path, **changes: str) -> None:
    """Put a text behind each text of a file; the first is the key's value in `AFTER`."""
    text = path.read_text()
    for key, added in changes.items():
        assert AFTER[key] in text
        text = text.replace(AFTER[key], AFTER[key] + added)
    path.write_text(text)


AFTER = {
    "member": '    ZERO_BUBBLE = "zero-bubble"\n',
    "name": 'Literal["gpipe", "1f1b", "zero-bubble"',
    "rank": "        microbatch = task.microbatch.index if task.microbatch else 0\n",
}


@pytest.mark.slow
def test_a_command(copied):
    (copied / "antiphon/cli/shout.py").write_text(
        "from antiphon.recipes import recipe_of\n\n\n"
        "def shouted(name):\n    recipe = recipe_of(name)\n    return recipe.name.upper()\n"
    )
    with (copied / "antiphon/cli/app.py").open("a") as app:
        app.write(
            '\n\n@app.command("shout")\ndef shout_command(grammar: Name) -> None:\n    """Print a name."""\n'
            "    from antiphon.cli.shout import shouted\n\n    echo(shouted(grammar))\n"
        )
    assert told(copied, COMMAND.format(["shout", "backprop"])) == "BACKPROP\n"
    listed = "import atexit; atexit.register(lambda: print('torch' in sys.modules)); " + COMMAND.format(["--help"])
    out = told(copied, "import sys; " + listed)
    assert "shout" in out and out.endswith("False\n")


@pytest.mark.slow
def test_an_order_of_steps(copied):
    extend(
        copied / "antiphon/coordinator/plan/step_order.py",
        member='    LATEST_FIRST = "latest-first"\n',
        name=', "latest-first"',
        rank="        if self.order is StepOrder.LATEST_FIRST:\n            return 0, -microbatch, position\n",
    )
    program = """
import antiphon
game = antiphon.backprop(antiphon.digits(batch=64), antiphon.dense_layers((64,), widths=[32], classes=10))
def losses(order):
    with antiphon.launch(game, order=order, microbatches=4, placement=antiphon.spread(game)) as play:
        return play.play(5).losses["Loss"].values
print(losses("latest-first") == losses("gpipe"))
"""
    assert told(copied, program) == "True\n"


@pytest.mark.slow
def test_a_channel(copied):
    (copied / "antiphon/transport/noting.py").write_text("""
class NotingChannel:
    def __init__(self, channel):
        self._channel, self.sent = channel, []
        for method in ("open", "receive", "contribute", "collect", "settle", "close"):
            setattr(self, method, getattr(channel, method))

    def send(self, edge, round, value):
        self.sent.append((edge.name, round))
        return self._channel.send(edge, round, value)
""")
    program = """
from antiphon.testing import check_channel
from antiphon.testing.channel import Pair
from antiphon.transport.local import Exchange, LocalChannel
from antiphon.transport.noting import NotingChannel

def make_pair(session, edges):
    exchange = Exchange()
    source, target = (NotingChannel(LocalChannel(session, me, exchange, edges)) for me in ("Alice", "Bob"))
    def forge(edge, tag, value):
        road = exchange.join(session, [edge])[edge.number]
        buffer = road.free.take(1.0)
        buffer.copy_(value)
        road.sent.offer((tag, buffer))
    return Pair(source, target, forge, source.close)

check_channel(make_pair)
print("kept")
"""
    assert told(copied, program) == "kept\n"


@pytest.mark.slow
def test_an_environment(copied):
    (copied / "tiny.py").write_text("""
import gymnasium
import numpy as np


class Tiny(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        self.left = 10
        return self.at, {}

    def step(self, action):
        self.at = np.clip(self.at + 0.1 * action, -1, 1).astype(np.float32)
        self.left -= 1
        return self.at, -float(abs(self.at).sum()), False, self.left == 0, {}
""")
    told(copied, "from antiphon.testing import check_environment; from tiny import Tiny; check_environment(Tiny)")
    changes = ["dac.environment=tiny:Tiny", "dac.warmup=4", "dac.batch=4", "dac.learn_from=4", "evaluation.episodes=2"]
    out = told(copied, COMMAND.format(["run", "dac", "--rounds=20", *(f"--set={each}" for each in changes)]))
    assert "evaluation return" in out
