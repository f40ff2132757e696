"""The public names: lazy, complete, and seen by type checkers."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import antiphon
import antiphon.cli
from antiphon.experiment import RECIPES
from antiphon.reading import shipped

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


BAD_NUMBERS = {
    "deadline": [float("inf"), float("nan"), 0, -1.0, "30", None, True, 1e12, 10**400],
    "threads": [0, -1, 1.5, "2", None, True],
    "seed": [-1, 0.5, "7", None, True],
    "num_cpus": [0, -1, 1.5, "2", True],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, each in BAD_NUMBERS.items() for value in each])
@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_launch_refuses_a_number_that_is_none_before_anything_starts(executor, name, value):
    grammar = antiphon.backprop(antiphon.digits(16), antiphon.dense_layers((64,), [], 10))
    with pytest.raises(antiphon.ExperimentError, match=rf"launch\({name}=\) takes a .*number") as refused:
        antiphon.launch(grammar, executor=executor, **{name: value})
    assert repr(value)[:20] in str(refused.value) and "orrect" in str(refused.value)


@pytest.mark.parametrize("rounds", [-1, 1.5, "2", None, True, float("nan")])
def test_play_refuses_what_is_no_number_of_rounds_and_can_go_on(rounds):
    grammar = antiphon.backprop(antiphon.digits(16), antiphon.dense_layers((64,), [], 10))
    with antiphon.launch(grammar) as game:
        for refused in (lambda: game.play(rounds), lambda: game.load(game.states(), rounds)):
            with pytest.raises(antiphon.ExperimentError, match="whole number of at least 0"):
                refused()
        assert (game.round, game.play(1).round) == (0, 1)


@pytest.mark.parametrize(
    "refused",
    {
        "grammar": lambda grammar: antiphon.launch(lambda: grammar),
        "placement": lambda grammar: antiphon.launch(grammar, placement="spread"),
        "an agent's name": lambda grammar: antiphon.launch(grammar, "SGD"),
        "agents' names": lambda grammar: antiphon.launch(grammar, {"Output": "SGD"}),
        "a class": lambda grammar: antiphon.agent(agent=type("Hidden", (), {})),
        "an optimizer": lambda grammar: antiphon.agent(__import__("torch").optim.SGD),
        "clip_norm": lambda grammar: antiphon.agent("SGD", clip_norm="1"),
        "clip_value": lambda grammar: antiphon.agent("SGD", clip_value=float("inf")),
        "every": lambda grammar: antiphon.agent("SGD", every="2"),
        "groups": lambda grammar: antiphon.place(grammar, fuse=3),
        "a share": lambda grammar: antiphon.place(grammar, of={"Output": {"num_gpus": "1"}}),
        "a table": lambda grammar: antiphon.place(grammar, of=[1]),
    }.items(),
    ids=lambda case: case[0],
)
def test_what_no_public_function_takes_is_refused_in_words(refused):
    grammar = antiphon.backprop(antiphon.digits(16), antiphon.dense_layers((64,), [], 10))
    with pytest.raises(antiphon.AntiphonError):
        refused[1](grammar)


def test_a_scheduler_in_one_line():
    grammar = antiphon.backprop(antiphon.digits(16), antiphon.dense_layers((64,), [], 10))
    agent = antiphon.agent("SGD", lr=1.0, scheduler="StepLR", scheduler_arguments={"step_size": 1, "gamma": 0.5})
    with antiphon.launch(grammar, agent) as game:
        game.play(3)
        assert game.states()["Output"]["agent"]["group"]["lr"] == 0.125


def test_the_version_is_told(antiphon):
    assert antiphon("--version").out == "antiphon 0.1.0\n"


def test_list_shows_grammars_and_experiments(antiphon):
    told = antiphon("list")
    lines = told.out.splitlines()
    assert (told.code, told.error) == (0, "")
    cells = [[cell.strip() for cell in line.split("  ") if cell] for line in lines]
    assert ["backprop", "exact", "Dense1, Dense2, Output", "Nature"] in cells
    assert ["dac", "learned + estimated + exact", "Actor, Critic, Deviator", "Nature, Noise"] in cells
    assert ["gan", "exact + learned", "Forger, Curator", "Environment, Noise"] in cells
    assert ["kickback", "exact + estimated", "Rectifier1, Rectifier2, Rectifier3, Output", "Nature"] in cells
    assert ["vae", "exact + surrogate", "Encoder, Decoder", "Environment, Noise"] in cells
    grammars, experiments = lines[1 : lines.index("")], lines[lines.index("") + 2 :]
    assert [line.split()[0] for line in grammars] == sorted(RECIPES)
    assert [line.split()[0] for line in experiments] == sorted(shipped())
    assert {"backprop-convolutional", "dac-pendulum-demo", "gan-mnist", *RECIPES} <= shipped().keys()
