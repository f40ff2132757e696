"""What other distributions bring is found by name, and refused in words when it is broken."""

from collections.abc import Callable
from pathlib import Path

import pytest

from antiphon.plugins import find

GRAMMAR = """
import antiphon


def narrow(width=4):
    return antiphon.backprop(antiphon.digits(16), antiphon.dense_layers((64,), [width], 10))


def nothing():
    return 3


number = 3
"""
ROOM = """
import gymnasium
import numpy as np


class Room(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 0.0, False, True, {}
"""
POINTS = """
[antiphon.grammars]
narrow = choir_grammar:narrow
lost = choir_lost:grammar
number = choir_grammar:number
nothing = choir_grammar:nothing

[antiphon.environments]
room = choir_room:Room
lost-room = choir_lost:Room
Pendulum-v1 = choir_lost:Pendulum

[antiphon.agents]
swinging = choir_lost:Swinging
"""


def distribute(folder: Path, name: str, points: str) -> None:
    information = folder / f"{name}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(points)


@pytest.fixture
def choir(place) -> Path:
    """A folder of the search path in which a distribution is installed."""
    (place / "choir_grammar.py").write_text(GRAMMAR)
    (place / "choir_room.py").write_text(ROOM)
    distribute(place, "choir", POINTS)
    return place


def test_an_installed_grammar_is_listed_shown_checked_and_run(antiphon, choir):
    listed = antiphon("list").out.split("\n\n")[3]
    assert listed.splitlines() == [
        "installed    what it is   distribution  where",
        "lost         grammar      choir         choir_lost:grammar",
        "narrow       grammar      choir         choir_grammar:narrow",
        "nothing      grammar      choir         choir_grammar:nothing",
        "number       grammar      choir         choir_grammar:number",
        "swinging     agent        choir         choir_lost:Swinging",
        "Pendulum-v1  environment  choir         choir_lost:Pendulum",
        "lost-room    environment  choir         choir_lost:Room",
        "room         environment  choir         choir_room:Room",
    ]
    assert "Dense1" in antiphon("show", "narrow").out
    assert antiphon("check", "narrow", "--instances=1").code == 0
    told = antiphon("run", "narrow", "--rounds=2", "--set=arguments.width=3", "--out=mine")
    assert told.code == 0 and (choir / "mine/summary.json").is_file()
    (choir / "own.toml").write_text('grammar = "narrow"\nrounds = 2\n[arguments]\nwidth = 3\n')
    assert antiphon("run", "own.toml", "--out=other").code == 0
    assert (choir / "mine/experiment.toml").read_text() == (choir / "other/experiment.toml").read_text()


def test_without_other_distributions_there_are_three_tables(antiphon, place, monkeypatch):
    monkeypatch.setattr("antiphon.plugins.entry_points", lambda group: ())
    assert len(antiphon("list").out.split("\n\n")) == 3


def test_an_installed_environment_is_played_and_evaluated_in(antiphon, choir, tiny_dac):
    plain = [each for each in tiny_dac if "keywords" not in each]
    told = antiphon("run", *plain, "--set=dac.environment=room", "--out=mine")
    assert told.code == 0 and "return" in told.out


def test_names_of_gymnasium_go_first(antiphon, choir, tiny_dac):
    assert antiphon("run", *tiny_dac, "--set=dac.environment=Pendulum-v1", "--out=mine").code == 0


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["run", "lost"], ["grammar 'lost'", "'choir_lost'", "choir 1.0", "'antiphon.grammars'"]),
        (["check", "lost"], ["grammar 'lost'", "'choir_lost'", "choir 1.0", "'antiphon.grammars'"]),
        (["show", "number"], ["grammar 'number' is a int", "'choir_grammar:number' of choir 1.0"]),
        (["run", "nothing"], ["grammar 'nothing' returned a int", "antiphon.Grammar"]),
        (["run", "narrow", "--set=arguments.wide=3"], ["grammar 'narrow'", "{'wide': 3}", "table [arguments]"]),
        (["run", "dac", "--set=dac.environment=lost-room"], ["environment 'lost-room'", "choir 1.0", "repair"]),
        (["run", "backprop", "--set=players.Dense1.agent=swinging"], ["agent 'swinging'", "choir 1.0", "repair"]),
    ],
)
def test_what_is_broken_is_refused_with_whose_it_is(antiphon, choir, arguments, parts):
    told = antiphon(*arguments)
    assert (told.code, told.out, told.error.count("error: ")) == (2, "", 1)
    assert [part for part in parts if part not in told.error] == []


def test_an_unknown_name_is_compared_with_the_installed_ones(antiphon, choir):
    told = antiphon("run", "narow")
    assert told.code == 2 and "lost, narrow, nothing, number" in told.error and "Did you mean 'narrow'?" in told.error
    told = antiphon("check", "narow")
    assert told.code == 2 and "lost, narrow, nothing, number" in told.error and "Did you mean 'narrow'?" in told.error
    (choir / "own.toml").write_text('grammar = "narow"\n')
    told = antiphon("run", "own.toml")
    assert told.code == 2 and "lost, narrow, nothing, number" in told.error and "Did you mean 'narrow'?" in told.error


def test_two_distributions_with_one_name_are_refused(antiphon, choir):
    distribute(choir, "rival", "[antiphon.grammars]\nnarrow = rival:narrow\n")
    told = antiphon("run", "narrow")
    whose = sorted(["'choir_grammar:narrow' of choir 1.0", "'rival:narrow' of rival 1.0"])
    texts = [
        f"error: two entry points of the group 'antiphon.grammars' are called 'narrow': {one} and {other}; "
        "expected one. Uninstall one of the two distributions.\n"
        for one, other in (whose, whose[::-1])
    ]
    assert told.code == 2 and told.error in texts


def test_a_function_of_a_module_is_found_as_before(choir):
    made: Callable = find("grammar", "choir_grammar:narrow")
    assert made(width=2).name == "backprop"
