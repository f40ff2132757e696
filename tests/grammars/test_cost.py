"""What is counted on the graphs alone."""

from collections import Counter

import pytest
import torch
from torch import nn

from antiphon.experiments.load import read_experiment
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.cost import Graph, cost, query_depth, response_depth
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library import backprop
from antiphon.grammars.library.networks import dense_layers
from antiphon.grammars.maps import scale
from antiphon.grammars.objective import minimise
from antiphon.grammars.playing import steady
from antiphon.grammars.query import Port
from antiphon.grammars.random_grammars import samples
from antiphon.grammars.types import Order
from antiphon.grammars.writing import ResponseDraft
from rigs.games import points


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


def kinds(grammar: Grammar) -> dict[tuple[str, str], str]:
    """The locality of every message of R, by sender and receiver."""
    return {(hop.source, hop.target): str(hop.locality) for hop in cost(grammar).hops if hop.locality is not None}


def test_backpropagations_messages_go_to_neighbours_and_below_the_topmost_are_relayed():
    assert kinds(square(3)) == {
        ("Loss", "Layer2"): "local",
        ("Layer2", "Layer1"): "relayed",
        ("Layer1", "Layer0"): "relayed",
    }


def scalar(layers: int) -> Grammar:
    """A chain whose layers all play (batch, 1), and its loss a mean square."""
    names = [f"Layer{index}" for index in range(layers)]
    q = QueryDraft()
    x = q.oracle("Nature", samples(4, (1,)))()
    value = x
    for name in names:
        value = q.player(name, nn.Linear, 1, 1, dtype=torch.float64)(value)
    objective = minimise(q.loss("Loss", nn.MSELoss)(value, x))
    return Grammar("scalar", q.graph(), chain_rule(q, objective), objective)


def test_one_number_per_example_that_all_hear_is_the_broadcast():
    assert set(kinds(broadcast(scalar(3))).values()) == {"broadcast"}
    assert cost(broadcast(scalar(3))).messages(Graph.RESPONSE) == 3


def test_a_vector_that_all_hear_is_no_broadcast_and_goes_too_far():
    assert kinds(broadcast(square(3))) == {
        ("Loss", "Layer0"): "distant",
        ("Loss", "Layer1"): "distant",
        ("Loss", "Layer2"): "local",
    }


def test_kicks_are_local_what_the_layer_above_saw_and_the_broadcast():
    """Each layer hears the broadcast times what the layer above it played: Remark 4's picture."""
    grammar = scalar(3)
    query = grammar.query
    (loss,) = grammar.objective.losses
    r = ResponseDraft(query)
    beta = r.product(loss, r.seed(loss)).toward(0)
    for index, player in enumerate(query.players):
        above = query.nodes[index + 2]
        message = beta if above.name == "Loss" else r.map(torch.mul, beta, r.tap(Port(above.name)))
        r.deliver(player.name, r.product(Port(player.name), message).parameters)
    kickback = Grammar("kicks", query, r.graph(), grammar.objective)
    told = Counter((hop.source, str(hop.locality)) for hop in cost(kickback).hops if hop.graph is Graph.RESPONSE)
    assert told == {("Loss", "broadcast"): 3, ("Layer1", "local"): 1, ("Layer2", "local"): 1}
    assert response_depth(kickback) == 1


def test_what_is_made_of_the_broadcast_alone_is_local_and_one_hop_further_it_is_relayed():
    """Layers 3 and 2 hear the broadcast; layer 1 hears layer 2, and layer 0 layer 1."""
    grammar = scalar(4)
    (loss,) = grammar.objective.losses
    r = ResponseDraft(grammar.query)
    beta = r.product(loss, r.seed(loss)).toward(0)
    message = beta
    for name in ("Layer3", "Layer2", "Layer1", "Layer0"):
        product = r.product(Port(name), beta if name in ("Layer3", "Layer2") else message)
        r.deliver(name, product.parameters)
        message = product.toward(0)
    relay = Grammar("relay", grammar.query, r.graph(), grammar.objective)
    assert kinds(relay) == {
        ("Loss", "Layer3"): "broadcast",
        ("Loss", "Layer2"): "broadcast",
        ("Layer2", "Layer1"): "local",
        ("Layer1", "Layer0"): "relayed",
    }


def test_of_a_layers_cost_every_figure_is_known():
    """Two dense layers 5-4-3, batch 7, float32; labels are int64."""
    layers = {"Low": Factory.of(nn.Linear, 5, 4), "High": Factory.of(nn.Linear, 4, 3)}
    found = cost(backprop(points(5, batch=7), layers), range(10))
    x, y, low, high = 7 * 5 * 4, 7 * 8, 7 * 4 * 4, 7 * 3 * 4
    assert found.messages(Graph.QUERY) == 10 * 4
    assert found.messages(Graph.RESPONSE) == 10 * 2
    assert found.bytes(Order.ZEROTH) == 10 * (x + y + low + high)
    assert found.bytes(Order.FIRST) == 10 * (high + low)
    assert found.queries == {"Nature": 10}
    assert found.gradients == {"Loss": 10, "High": 10, "Low": 10}
    assert (found.query_depth, found.response_depth) == (3, 2)
    assert repr(found) == (
        "cost of grammar backprop, over 10 rounds:\n"
        "  messages: 40 of Q, 20 of R\n"
        "  bytes: 3920 zeroth order, 1960 first order\n"
        "  depth: 3 of Q, 2 of R\n"
        "  queries of Nature: 10"
    )


def test_the_default_is_one_period_once_everything_has_begun():
    grammar = read_experiment("dac", ["dac.learn_from=5", "dac.act_every=4", "dac.widths=[4]"]).build()
    assert steady(grammar) == range(5, 9)
    assert steady(grammar, {"Actor": Cadence(3, 7)}) == range(7, 19)
    assert cost(grammar).queries == {"Nature": 4 + 2, "Noise": 1}  # a replay each round, and acting once in four


def test_a_response_that_nobody_needs_is_not_counted():
    grammar = square(2)
    assert cost(grammar, range(6), {"Layer1": Cadence(3)}).messages(Graph.RESPONSE) == 6 + 6  # Layer0 needs it
    assert cost(grammar, range(6), {"Layer0": Cadence(3), "Layer1": Cadence(3)}).messages(Graph.RESPONSE) == 2 + 2
