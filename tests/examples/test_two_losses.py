"""The example `two_losses`: R is the chain rule but for one edge, what is promised is delivered, both losses fall."""

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy, mse_loss

import antiphon

WEIGHT = 0.25
X, Y = torch.rand(8, 6, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3

Parameters = dict[str, dict[str, Tensor]]


@pytest.fixture
def game(example):
    nature = antiphon.arrays(X, Y, batch=8, shuffle=False)
    return example("two_losses/grammar").two_losses(nature, pixels=6, classes=3, width=4, weight=WEIGHT)


def test_one_edge_differs_from_the_chain_rule(game):
    plain = antiphon.chain_rule(game.query, game.objective)
    added = {node.name for node in game.response.nodes} - {node.name for node in plain.nodes}
    assert added == {"0.25 of Painting, into Eye"}
    assert len(game.response.nodes) == len(plain.nodes) + 1


def played(game) -> tuple[Parameters, Parameters]:
    """Everybody's parameters before a round, and what they heard in it: how far a step of length one went."""
    with antiphon.launch(game, antiphon.agent("SGD", lr=1.0)) as play:
        before = parameters(game, play)
        play.play(1)
        after = parameters(game, play)
    heard = {name: {key: value - after[name][key] for key, value in each.items()} for name, each in before.items()}
    return before, heard


def parameters(game, play) -> Parameters:
    states = play.states()
    return {p.name: {k: v.clone() for k, v in states[p.name]["parameters"].items()} for p in game.query.players}


def promised(game, before: Parameters) -> Parameters:
    """By automatic differentiation: of Naming + weight * Painting for Eye, of both losses for the others."""
    values = {name: {k: v.clone().requires_grad_() for k, v in each.items()} for name, each in before.items()}

    def ask(name: str, x: Tensor) -> Tensor:
        return functional_call(game.query.player_by_name[name].factory(), values[name], (x,))

    seen = ask("Eye", X)
    naming = cross_entropy(ask("Namer", ask("Thinker", seen)), Y)
    painting = mse_loss(ask("Painter", ask("Sketcher", seen)), X)
    found = {}
    for name, each in values.items():
        loss = naming + (WEIGHT if name == "Eye" else 1.0) * painting
        gradients = torch.autograd.grad(loss, list(each.values()), retain_graph=True)
        found[name] = dict(zip(each, gradients, strict=True))
    return found


def test_everybody_hears_what_was_promised(game):
    before, heard = played(game)
    torch.testing.assert_close(heard, promised(game, before), rtol=1e-4, atol=1e-6)


def test_both_losses_fall(example):
    train = example("two_losses/train").train
    early, late = train(rounds=1, batch=16, width=8), train(rounds=150, batch=16, width=8)
    assert early.keys() == late.keys() == {"Naming", "Painting"}
    assert all(late[name] < early[name] for name in early)
