"""What is counted on the graphs alone."""

import pytest
from torch import nn

from antiphon.coordinator.testing import points
from antiphon.grammars.cost import query_depth, response_depth
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library import backprop
from antiphon.grammars.library.networks import dense_layers
from antiphon.grammars.maps import scale
from antiphon.grammars.query import Port
from antiphon.grammars.writing import ResponseDraft
from antiphon.reading import read_experiment


def chain(layers: int, width: int = 4) -> Grammar:
    return backprop(points(width), dense_layers((width,), [width] * (layers - 1), 3, dropout=0.5))


def broadcast(grammar: Grammar, *, alike: bool = False) -> Grammar:
    """The same Q, with one message of the loss told to every layer (all layers play one shape), by a map each."""
    query = grammar.query
    (loss,) = grammar.objective.losses
    r = ResponseDraft(query)
    beta = r.product(loss, r.seed(loss)).toward(0)
    shared = r.map(scale, beta, factor=2.0)
    for player in query.players:
        message = shared if alike else r.map(scale, beta, factor=2.0)
        r.deliver(player.name, r.product(Port(player.name), message).parameters)
    return Grammar("broadcast", query, r.graph(), grammar.objective)


def square(layers: int) -> Grammar:
    """A chain whose layers all play (batch, 3)."""
    names = [f"Layer{index}" for index in range(layers)]
    return backprop(points(3), {name: Factory.of(nn.Linear, 3, 3) for name in names})


@pytest.mark.parametrize("layers", [1, 2, 3, 8])
def test_backpropagation_through_L_layers_has_depth_L(layers):
    assert response_depth(chain(layers)) == layers
    assert query_depth(chain(layers)) == layers + 1


@pytest.mark.parametrize("layers", [1, 2, 3, 8])
@pytest.mark.parametrize("alike", [False, True])
def test_one_broadcast_has_depth_1_however_many_layers_hear_it(layers, alike):
    assert response_depth(broadcast(square(layers), alike=alike)) == 1


def test_operators_between_players_add_no_depth():
    assert response_depth(read_experiment("backprop-convolutional").build()) == 4  # two convolutions, two dense layers


def test_deviator_actor_critic_has_depth_1():
    grammar = read_experiment("dac").build()
    assert response_depth(grammar) == 1
    assert query_depth(grammar) == 3  # Nature, Actor, Critic, the Bellman gradient error
