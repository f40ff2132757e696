"""The public names: lazy, complete, and seen by type checkers."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import antiphon
import antiphon.cli

QUIET = """
import sys, antiphon
loaded = lambda: sorted({"torch", "ray", "gymnasium"} & set(sys.modules))
print(loaded())
from torch import nn
data = antiphon.dataset(antiphon.Factory.of(__import__("torch").utils.data.TensorDataset,
    __import__("torch").zeros(8, 3), __import__("torch").zeros(8, dtype=int)), batch=4)
grammar = antiphon.backprop(data, {"Only": antiphon.Factory.of(nn.Linear, 3, 2)})
with antiphon.launch(grammar, antiphon.agent("SGD", lr=0.1), executor="inline") as game:
    game.play(2)
print("ray" in loaded())
"""

NOTEBOOK = """
import antiphon

layers = antiphon.dense_layers((64,), [32], classes=10)
grammar = antiphon.backprop(antiphon.digits(64), layers)
game = antiphon.launch(grammar, antiphon.agent("Adam", lr=0.01))
for _ in range(3):
    played = game.play(10)
    print(played.round, played.losses["Loss"].values[-1])
game.close()
"""


def test_importing_antiphon_is_free_and_playing_inline_needs_no_ray(place):
    done = subprocess.run([sys.executable, "-P", "-c", QUIET], capture_output=True, text=True, timeout=60, cwd=place)
    assert (done.stdout, done.stderr) == ("[]\nFalse\n", "")


def test_every_public_name_is_there():
    for name in antiphon.__all__:
        assert getattr(antiphon, name) is not None
        assert name in dir(antiphon)


def test_type_checkers_see_what_is_there():
    tree = ast.parse(Path(antiphon.__file__).read_text())
    (guarded,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        (each.module, alias.asname) for each in guarded.body if isinstance(each, ast.ImportFrom) for alias in each.names
    }
    assert seen == {(module, name) for name, module in antiphon._HOME.items()}


def test_a_name_that_is_not_public():
    with pytest.raises(AttributeError, match="module 'antiphon' has no attribute 'nothing'"):
        _ = antiphon.nothing  # pyright: ignore[reportAttributeAccessIssue]


def test_ten_lines_in_a_notebook(capsys):
    assert len([line for line in NOTEBOOK.splitlines() if line]) <= 10
    exec(compile(NOTEBOOK, "notebook", "exec"), {})
    rounds, losses = zip(*(map(float, line.split()) for line in capsys.readouterr().out.splitlines()), strict=True)
    assert rounds == (10, 20, 30)
    assert losses[0] > losses[-1]


def test_an_executor_that_does_not_exist():
    grammar = antiphon.backprop(antiphon.digits(16), antiphon.dense_layers((64,), [], 10))
    with pytest.raises(antiphon.ExperimentError) as refused:
        antiphon.launch(grammar, executor="rya")  # pyright: ignore[reportArgumentType]
    assert str(refused.value) == "executor 'rya' is not known; expected 'inline' or 'ray'. Name one of these."


def test_the_version_is_told(antiphon):
    assert antiphon("--version").out == "antiphon 0.1.0\n"


def test_list_shows_grammars_and_experiments(antiphon):
    told = antiphon("list")
    lines = told.out.splitlines()
    assert (told.code, told.error) == (0, "")
    rows = [re.split("  +", line) for line in lines]
    assert ["backprop", "exact", "Dense1, Dense2, Output", "Nature"] in rows
    assert ["dac", "learned + estimated + exact", "Actor, Critic, Deviator", "Nature, Noise"] in rows
    assert ["critic_derivative", "learned + estimated + exact", "Actor, Critic", "Nature, Noise"] in rows
    assert ["dac_bandit", "learned + estimated + exact", "Actor, Critic, Deviator", "Nature, Noise"] in rows
    assert sorted(line.split()[0] for line in lines[lines.index("") + 2 :]) == [
        "backprop",
        "backprop-convolutional",
        "critic_derivative",
        "dac",
        "dac-pendulum-demo",
        "dac_bandit",
    ]
