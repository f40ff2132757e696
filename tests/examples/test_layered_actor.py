"""The example `layered_actor`: DAC whose Actor is a game of its layers, equal to DAC whose Actor is a module."""

import pytest
import torch

from antiphon.grammars.regrouping import coarsen
from antiphon.grammars.response import Product, Seed, Tap
from antiphon.testing import check_regrouping

SMALL = {"rounds": 60, "batch": 9, "widths": (5, 4), "warmup": 24}


@pytest.fixture
def train(example):
    example("layered_actor/grammar")
    return example("layered_actor/train")


@pytest.fixture
def game(train):
    return train.game(rounds=60, batch=9, widths=(5, 4), warmup=24)


def test_each_layer_is_a_player_with_a_clone(game):
    layers = ("Actor.Dense1", "Actor.Dense2", "Actor.Output")
    assert game.query.players_in("Actor") == layers
    assert [clone.name for clone in game.query.clones if clone.player in layers] == [
        "Actor~.Dense1",
        "Actor~.Dense2",
        "Actor~.Output",
    ]


def test_below_the_estimate_it_is_backpropagation(game):
    nodes = [game.response.by_name[name] for name in game.response.ancestors("deliver Actor.Dense1")]
    assert [node.name for node in nodes if isinstance(node, Seed)] == []
    assert [node.name for node in nodes if isinstance(node, Tap)] == ["tap Deviator"]
    assert {node.of for node in nodes if isinstance(node, Product)} == {
        "Actor.Squash#2",
        "Actor.Output#2",
        "Actor.Dense2#2",
        "Actor.Dense1#2",
    }


def test_its_layers_hear_what_one_actor_hears(game):
    # In float32: equality is up to its rounding.
    assert check_regrouping(coarsen(game, "Actor", "Actor"), rounds=30, bound=1e-4) < 1e-4


def test_the_policy_is_what_the_layers_learned(train):
    layered, states = train.train(**SMALL)
    actor = train.policy(layered, states)
    observed = played = torch.rand(3, 3)
    for name in layered.query.players_in("Actor"):
        layer = layered.query.player_by_name[name].factory()
        layer.load_state_dict(states[name]["parameters"])
        played = layer(played)
    assert actor(observed).equal(torch.tanh(played))


@pytest.mark.slow
def test_it_plays_the_same_on_ray(train):
    _, alone = train.train(**SMALL)
    layered, on_ray = train.train(**SMALL, executor="ray")
    for player in (*layered.query.players, *layered.query.clones):
        for name, value in alone[player.name]["parameters"].items():
            assert value.equal(on_ray[player.name]["parameters"][name]), (player.name, name)
