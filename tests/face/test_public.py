"""The public names: lazy, complete, and seen by type checkers."""

import subprocess
import sys
from typing import Any

import pytest

import antiphon
import antiphon.cli.app
from antiphon.agents import AgentSpecification
from antiphon.errors import ExperimentError
from antiphon.experiments.load import read_experiment
from antiphon.experiments.shipped import parts, shipped
from antiphon.recipes import LIBRARY

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
    done = subprocess.run([sys.executable, "-P", "-c", QUIET], capture_output=True, text=True, timeout=150, cwd=place)
    assert (done.stdout, done.stderr) == ("[]\nFalse\n", "")


def test_every_public_name_is_there():
    for name in antiphon.__all__:
        assert getattr(antiphon, name) is not None
        assert name in dir(antiphon)


def test_a_name_that_is_not_public():
    with pytest.raises(AttributeError, match="module 'antiphon' has no attribute 'nothing'"):
        _ = antiphon.nothing  # pyright: ignore[reportAttributeAccessIssue]


def test_ten_lines_in_a_notebook(capsys):
    assert len([line for line in NOTEBOOK.splitlines() if line]) <= 10
    exec(compile(NOTEBOOK, "notebook", "exec"), {})
    rounds, losses = zip(*(map(float, line.split()) for line in capsys.readouterr().out.splitlines()), strict=True)
    assert rounds == (10, 20, 30)
    assert losses[0] > losses[-1]


@pytest.fixture(scope="module")
def grammar():
    return antiphon.backprop(antiphon.digits(16), antiphon.dense_layers((64,), [], 10))


@pytest.mark.parametrize("rounds", [-1, 1.5, "2", None, True, float("nan")])
def test_play_refuses_what_is_no_number_of_rounds_and_can_go_on(grammar, rounds):
    with antiphon.launch(grammar) as game:
        for refused in (lambda: game.play(rounds), lambda: game.load(game.states(), rounds)):
            with pytest.raises(ExperimentError, match="at least 0"):
                refused()
        assert (game.round, game.play(1).round) == (0, 1)


face: Any = antiphon  # what follows is wrong on purpose
specification: Any = AgentSpecification.of


@pytest.mark.parametrize(
    "refused",
    {
        "agents' names": lambda grammar: face.launch(grammar, {"Output": "SGD"}),
        "a class": lambda grammar: face.agent(agent=type("Hidden", (), {})),
        "a share": lambda grammar: face.place(grammar, of={"Output": {"num_gpus": "1"}}),
        "an environment": lambda grammar: face.place(
            grammar, of={"Output": {"remote_agent": {"runtime_env": {"env_vars": {1}}}}}
        ),
        "arguments": lambda grammar: specification("SGD", [("lr", 1)]),
        "an argument": lambda grammar: face.read_experiment("backprop", {"agent.arguments.x": object()}),
    }.items(),
    ids=lambda case: case[0],
)
def test_what_is_wrong_inside_of_an_argument_is_refused_in_words(grammar, refused):
    with pytest.raises(antiphon.AntiphonError):
        refused[1](grammar)


def test_a_scheduler_in_one_line(grammar):
    agent = antiphon.agent("SGD", lr=1.0, scheduler="StepLR", scheduler_arguments={"step_size": 1, "gamma": 0.5})
    with antiphon.launch(grammar, agent) as game:
        game.play(3)
        assert game.states()["Output"]["agent"]["group"]["lr"] == 0.125


def test_the_version_is_told(antiphon):
    assert antiphon("--version").out == "antiphon 0.1.0\n"


@pytest.mark.parametrize("name", LIBRARY)
def test_what_is_listed_of_a_grammar_is_so(name):
    """Where it is not, the second line of the grammar's experiment is to be corrected."""
    grammar = read_experiment(name).build()
    players, oracles = ([each.name for each in every] for every in (grammar.query.players, grammar.query.oracles))
    assert parts(shipped()[name]) == (repr(grammar.guarantee), ", ".join(players), ", ".join(oracles))


def test_list_shows_grammars_and_experiments(antiphon):
    told = antiphon("list")
    assert (told.code, told.error) == (0, "")
    tables = [[line.split()[0] for line in table.splitlines()[1:]] for table in told.out.split("\n\n")]
    assert tables[:2] == [list(LIBRARY), sorted(shipped())]
    assert {"backprop-convolutional", "dac-pendulum-demo", "gan-mnist", *LIBRARY} <= shipped().keys()
