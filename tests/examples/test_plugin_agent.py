"""The example `plugin_agent`: an agent that keeps the contract, named in an experiment."""

import pytest

import antiphon
from antiphon.testing import check_agent

SMALL = {"rounds": 40, "rounds_per_report": 40, "backprop.widths": [8], "backprop.batch": 16}


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_it_keeps_the_contract(example, decay):
    check_agent(example("plugin_agent/sign_descent").SignDescent, lr=0.01, decay=decay)


@pytest.fixture
def experiment(example):
    example("plugin_agent/sign_descent")
    return antiphon.read_experiment("experiment.toml", SMALL)


def test_it_moves_one_player_and_lives_apart(experiment):
    game = experiment.build()
    agents = experiment.agents(game)
    assert agents["Dense1"].description == "sign_descent:SignDescent(lr=0.001)"
    assert agents["Output"].description == "Adam(lr=0.003)"
    apart = antiphon.spread(game, agents={"Dense1": "Stranger"})
    with antiphon.launch(game, agents, placement=apart) as play:
        before = play.states()["Dense1"]["parameters"]["0.bias"].clone()
        losses = play.play(1).losses["Loss"].values + play.play(39).losses["Loss"].values
        moved = play.states()["Dense1"]["parameters"]["0.bias"] - before
    assert sum(losses[-5:]) < sum(losses[:5])
    # Forty steps of 0.001 each, whatever the gradients were.
    assert 0 < moved.abs().max() <= 0.04 + 1e-6


def test_the_experiment_runs(experiment, tmp_path):
    finished = antiphon.run_experiment(experiment, tmp_path / "run")
    assert finished.evaluation is not None
    assert finished.last.round == 40
