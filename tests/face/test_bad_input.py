"""Bad input is refused in words: who, what was expected, what arrived, the remedy. Exit 2, and nothing is written."""

import os
import shutil
import sys
from collections import namedtuple

import pytest
from torch import nn

from antiphon.envs import digits
from antiphon.errors import PlacementError
from antiphon.experiments.shipped import shipped
from antiphon.grammars import Factory
from antiphon.grammars.library import backprop
from antiphon.launching import launch
from antiphon.recipes import LIBRARY
from antiphon.recipes.dac import DacTable

Disk = namedtuple("Disk", "total used free")


def refused(told, text, place):
    assert (told.code, told.out, told.error) == (2, "", f"error: {text}\n")
    assert not (place / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["dca"],
            f"grammar 'dca' is not known; expected one of {', '.join(shipped())}, a path to a .toml file, or "
            "'module:factory'. Did you mean 'dac'? See `antiphon list`.",
        ),
        (
            ["dac", "--set", "grammar=dca"],
            f"experiment 'dac' is refused: grammar 'dca' is not known; expected one of {', '.join(LIBRARY)}, or "
            "'module:factory'. Did you mean 'dac'? Correct the key 'grammar'.",
        ),
        (
            ["dac", "--set", "dac.gama=0.9"],
            f"experiment 'dac' is refused: there is no key 'dac.gama'; expected one of "
            f"{', '.join(DacTable.model_fields)}. Did you mean 'gamma'? Correct or remove it.",
        ),
        (
            ["dac", "--set", "players.Actor.optimiser=SGD"],
            "experiment 'dac' is refused: there is no key 'players.Actor.optimiser'; expected one of agent, optimizer, "
            "arguments, clip_norm, clip_value, scheduler, scheduler_arguments, every, start, on_failure, patience. "
            "Did you mean 'optimizer'? Correct or remove it.",
        ),
        (
            ["dac", "--set", "rounds=many"],
            "experiment 'dac' is refused: key 'rounds' takes a whole number, and the bare word 'many' arrived. "
            "Correct the value.",
        ),
        (
            ["dac", "--set", "threads=true"],
            "experiment 'dac' is refused: key 'threads' takes a whole number, and the boolean true arrived. "
            "Correct the value.",
        ),
        (
            ["dac", "--rounds=0", "--executor=rya"],
            "experiment 'dac' is refused: key 'rounds' takes a number of at least 1, and the number 0 arrived. "
            "Correct the value.\n"
            "key 'executor' takes 'inline' or 'ray', and the string 'rya' arrived. Correct the value.",
        ),
        (
            ["dac", "--transport=pigeon"],
            "experiment 'dac' is refused: key 'transport' takes 'process-group' or 'object-store', and the string "
            "'pigeon' arrived. Correct the value.",
        ),
        (
            ["backprop", "--set", "dac.gamma=0.9"],
            "experiment 'backprop' is refused: key 'dac' does not belong to grammar 'backprop'; "
            "expected the table [backprop]. Remove it, or change the grammar.",
        ),
        (
            ["dac", "--set", "rounds"],
            "--set takes key=value, and 'rounds' arrived. Write it like --set agent.arguments.lr=0.01",
        ),
        (
            ["dac", "--set", "players.Acter.optimizer=SGD"],
            "key 'players.Acter' is of nobody: grammar 'dac' has the players Actor, Critic, Deviator. "
            "Did you mean 'Actor'? Correct the name.",
        ),
        (
            ["dac", "--set", "players.Actor.optimizer=Adamm"],
            "torch.optim has no optimizer 'Adamm' for players; expected 'Adam' or 'RAdam' or 'NAdam'. "
            "Correct the name.\n  player 'Actor', keys 'agent' and 'players.Actor'",
        ),
        (
            ["dac", "--set", 'placement.fuse=[["Actor", "Crtic"]]'],
            "'Crtic' is to be fused: grammar 'dac' has Nature, Actor, Noise, Deviator, Critic, BGE. "
            "Did you mean 'Critic'? Correct the name.",
        ),
        (
            ["dac", "--set", "evaluation.every=0"],
            "experiment 'dac' is refused: key 'evaluation.every' takes a number of at least 1, and the number 0 "
            "arrived. Correct the value.",
        ),
        (
            ["dac", "--set", "evaluation.patience=3"],
            "experiment 'dac' is refused: key 'evaluation' takes `every` beside `stop_at` and `patience`, which "
            "compare evaluations during training, and the table {'patience': 3} arrived. Correct the value.",
        ),
        (
            ["dac", "--rounds=50", "--set", "evaluation.every=51"],
            "key 'evaluation.every' is 51, and the run has 50 rounds; expected at most as many, so that there is an "
            "evaluation. Lower it, or leave it out: the run is evaluated at its end.",
        ),
        (
            ["finite-game", "--set", "evaluation.every=10"],
            "key 'evaluation.every' is 10, and grammar 'finite-game' has nothing to be judged by; expected grammar "
            "'dac', or another of the library on data that comes with it. Leave out the key.",
        ),
        (
            ["elsewhere.toml"],
            "experiment 'elsewhere.toml' cannot be read: No such file or directory. "
            "Expected a TOML file; correct the path.",
        ),
        (
            ["nowhere:grammar"],
            "grammar 'nowhere:grammar' does not import: ModuleNotFoundError: No module named 'nowhere'. "
            "Expected 'module:name', importable from here and on every worker; correct the name or the path.",
        ),
        (
            ["dac", "--set", "dac.environment=CartPole-v1"],
            "environment 'CartPole-v1' has the action space Discrete(2); expected a continuous Box, because players "
            "move in the units of its gradient. Choose an environment with continuous actions, or wrap this one so "
            "that it takes them.",
        ),
        (
            ["backprop", "--set", "backprop.network=convolutional", "--set", "backprop.channels=[4, 4, 4, 4]"],
            "key 'backprop.network' is 'convolutional' with 4 channels for examples of the shape (1, 8, 8); expected "
            "(channels, height, width), both sizes divisible by 16. "
            'Use fewer channels, other data, or network = "dense".',
        ),
    ],
)
def test_what_an_experiment_cannot_mean(antiphon, place, arguments, text):
    refused(antiphon("run", *arguments), text, place)


def test_a_file_that_is_not_toml(antiphon, place):
    (place / "broken.toml").write_text("grammar = \n")
    text = "experiment 'broken.toml' is not TOML: Invalid value (at line 1, column 11). Correct that line."
    refused(antiphon("run", "broken.toml"), text, place)


def test_an_option_that_does_not_exist(antiphon):
    told = antiphon("run", "dac", "--round", "3")
    assert told.code == 2
    assert "No such option: --round" in told.error


ENVIRONMENT = """
import gymnasium, numpy as np

class Odd(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    def __init__(self, when): self.when = when
    def look(self, when): return np.zeros(4 if when == self.when else 3, np.float32)
    def reset(self, *, seed=None, options=None): return self.look("reset"), {}
    def step(self, action): return self.look("step"), 0.0, False, False, {}

gymnasium.register("Odd-v0", Odd)
"""


@pytest.mark.parametrize(("when", "told"), [("reset", "in reset"), ("step", "in step 1")])
def test_an_observation_of_an_unexpected_shape(antiphon, place, tiny_dac, when, told):
    (place / "odd.py").write_text(ENVIRONMENT)
    changes = ["--set=dac.environment=odd:Odd-v0", f'--set=dac.keywords={{when = "{when}"}}']
    text = (
        f"environment 'odd:Odd-v0' broke its own observation space {told}: expected float32[3], float32[4] arrived. "
        "Make the environment observe what it declares, or declare what it observes."
    )
    found = antiphon("run", *tiny_dac, *changes)
    assert (found.code, found.error.partition("\n")[0]) == (2, f"error: {text}")
    assert not (place / "runs").exists()


GRAMMARS = """
import torch, antiphon
from antiphon.oracles import black_box
from torch import nn

def unfitting():
    return antiphon.backprop(antiphon.digits(16), {
        "First": antiphon.Factory.of(nn.Linear, 64, 8), "Second": antiphon.Factory.of(nn.Linear, 9, 10)})

def opaque():
    q = antiphon.QueryDraft()
    x, y = q.oracle("Nature", antiphon.digits(16))()
    vector = antiphon.EdgeType((antiphon.Batch(), 10))
    box = black_box(torch.tanh, [vector], [vector])
    z = q.oracle("Secret", box)(q.player("Guesser", nn.Linear, 64, 10)(x))
    objective = antiphon.minimise(q.loss("Loss", nn.functional.cross_entropy)(z, y))
    response = antiphon.chain_rule(q, objective)
    return antiphon.Grammar("opaque", q.graph(), response, objective, antiphon.exact())

def number():
    return 3

def broken(width):
    raise KeyError("nothing here")
"""


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["own:unfitting"],
            "player 'Second' cannot play torch.nn.modules.linear:Linear(9, 10) on float32[batch, 8] where batch = 16: "
            "mat1 and mat2 shapes cannot be multiplied (16x8 and 9x10). Expected inputs that it takes; change its "
            "sizes or what is connected to it.",
        ),
        (
            ["own:opaque"],
            "the chain rule needs a gradient of 'value' from oracle 'Secret' on the way to player 'Guesser'; expected "
            "a gray box, but it is a black box and answers values only. Cut it (`edit=cut_into('Secret')`), or let "
            "a player estimate the gradient.",
        ),
        (
            ["own:number"],
            "grammar 'own:number' returned a int; expected an antiphon.Grammar. "
            "Return Grammar(name, query, response, objective, guarantee).",
        ),
        (
            ["own:broken", "--set", "arguments.width=3"],
            "grammar 'own:broken' cannot be made from the arguments {'width': 3}: KeyError: 'nothing here'. "
            "Expected a function that takes these; correct it, or the table [arguments].",
        ),
        (
            ["own:nothing"],
            "grammar 'own:nothing' does not import: AttributeError: module 'own' has no attribute 'nothing'. "
            "Expected 'module:name', importable from here and on every worker; correct the name or the path.",
        ),
    ],
)
def test_a_grammar_that_cannot_be(antiphon, place, monkeypatch, arguments, text):
    (place / "own.py").write_text(GRAMMARS)
    monkeypatch.delitem(sys.modules, "own", raising=False)  # of the case before
    refused(antiphon("run", *arguments), text, place)


AGENT = '''
class Transposing:
    """Plays its parameters transposed."""

    def __init__(self, parameters): self.parameters = parameters
    def hear(self, response): pass
    def move(self): return [parameter.mT if parameter.ndim > 1 else parameter for parameter in self.parameters]
    def state(self): return {}
    def load(self, state): pass
'''


def test_an_agent_that_returns_parameters_of_another_shape(antiphon, place, tiny_dac):
    # Learning starts in round 3: it is refused before that, by the rehearsal.
    (place / "strangers.py").write_text(AGENT)
    text = (
        "agent 'strangers:Transposing' of player 'Critic' moved in round 0: expected float32[1, 4] for parameter "
        "'2.weight', and float32[4, 1] arrived. Return the new parameters as they were lent: in number, order, "
        "shape and dtype."
    )
    refused(antiphon("run", *tiny_dac, "--set=players.Critic.agent=strangers:Transposing"), text, place)


def test_a_run_folder_that_exists(antiphon, place, tiny_backprop):
    (place / "mine").mkdir()
    (place / "mine" / "notes.txt").write_text("keep")
    text = (
        "run folder 'mine' exists and is not empty; expected a new or an empty folder. "
        "Choose another --out, or remove it."
    )
    refused(antiphon("run", *tiny_backprop, "--out=mine"), text, place)
    assert [path.name for path in (place / "mine").iterdir()] == ["notes.txt"]


def test_a_run_folder_below_a_file(antiphon, place, tiny_backprop):
    (place / "file").write_text("keep")
    above = str(place / "file")
    text = (
        f"run folder 'file/run' cannot be made: {above!r} is not a folder. "
        "Expected a folder that may be written to; choose another --out, or change its permissions."
    )
    refused(antiphon("run", *tiny_backprop, "--out=file/run"), text, place)


def test_a_run_folder_without_permission(antiphon, place, tiny_backprop, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # to root nothing is forbidden
    text = (
        f"run folder 'mine' cannot be made: {str(place)!r} does not allow it. "
        "Expected a folder that may be written to; choose another --out, or change its permissions."
    )
    refused(antiphon("run", *tiny_backprop, "--out=mine"), text, place)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a file system where nobody can make a folder")
def test_a_run_folder_that_the_system_refuses(antiphon, place, tiny_backprop, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: True)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(1 << 40, 0, 1 << 40))
    told = antiphon("run", *tiny_backprop, "--out=/proc/antiphon/run")
    text = (
        "run folder '/proc/antiphon/run' cannot be made: No such file or directory. "
        "Expected a place with room and permission; choose another --out."
    )
    assert (told.code, told.error) == (2, f"error: {text}\n")


def test_a_run_folder_without_room(antiphon, place, tiny_backprop, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(1 << 40, 1 << 40, 2**19))
    text = (
        "run folder 'mine' has no room: expected at least 1.0 MiB for metrics and checkpoints, found 0.5 MiB free. "
        "Choose another --out, or free some space."
    )
    refused(antiphon("run", *tiny_backprop, "--out=mine"), text, place)


def test_evaluating_what_is_no_run_folder(antiphon, place):
    text = (
        "'elsewhere' is no run folder: expected experiment.toml in it, found none. "
        "Name a folder that `antiphon run` has made."
    )
    refused(antiphon("evaluate", "elsewhere"), text, place)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["--video=a.mp4"],
            "grammar 'backprop' has no environment that could be filmed; expected one with an environment of "
            "Gymnasium, such as 'dac' or 'critic-derivative'. Ask for no video.",
        ),
        (
            ["--video=a.avi"],
            "file 'a.avi' ends in .avi; expected one of .mp4, .gif. The ending chooses the format: change it.",
        ),
        (
            ["--best"],
            "{place}: expected a checkpoint with an evaluation during training, found none. Let a run make some (key "
            "'evaluation.every'), or evaluate the newest checkpoint.",
        ),
    ],
)
def test_what_an_evaluation_cannot_show(antiphon, place, tiny_backprop, arguments, text):
    assert antiphon("run", *tiny_backprop, "--out=mine").code == 0
    refused(antiphon("evaluate", "mine", *arguments), text.format(place=repr(str(place / "mine/checkpoints"))), place)


def test_evaluating_without_a_checkpoint(antiphon, place, tiny_backprop):
    assert antiphon("run", *tiny_backprop, "--out=mine").code == 0
    (manifest,) = place.glob("mine/checkpoints/*/manifest.json")
    manifest.unlink()
    text = (
        f"{str(place / 'mine/checkpoints')!r}: expected a complete checkpoint, found none. Let a run write one first "
        "(key 'checkpoint_every'), or name a round that was found."
    )
    refused(antiphon("evaluate", "mine"), text, place)


def test_messages_that_need_more_memory_than_there_is(monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("antiphon.launching.available_memory", lambda: 1000)
    grammar = backprop(digits(8), {"A": Factory.of(nn.Linear, 64, 10)})
    with pytest.raises(PlacementError, match=r"buffers of \d+ bytes; expected at most the 1000 bytes"):
        launch(grammar, executor="ray")
