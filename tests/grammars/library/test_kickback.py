"""Grammar 5: one number is broadcast; exact on top, local below, one product deep."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.envs import arrays
from antiphon.errors import GrammarError, ShapeError
from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import Category, Exact, SignCorrect
from antiphon.grammars.library import kickback
from antiphon.grammars.library.kickback import kicked, local_losses
from antiphon.grammars.library.kicking import Weights, kicking_layers
from antiphon.grammars.precision import in_float64
from antiphon.grammars.query import Kind, Port
from antiphon.grammars.random_grammars import samples
from antiphon.grammars.reference import Composed, compose
from antiphon.grammars.response import Product, Seed, Tap

NETWORKS = {
    "free": ((5,), [7, 6, 4], (), False, Weights.FREE),
    "signed": ((5,), [7, 6, 4, 3], (), True, Weights.STARTED),
    "coherent": ((5,), [7, 6, 4], (), True, Weights.COHERENT),
    "convolutional": ((2, 7, 6), [4], (3, 4), True, Weights.COHERENT),
    "two layers": ((5,), [4], (), False, Weights.FREE),
    "one layer": ((5,), [], (), False, Weights.FREE),
}


def network(name: str = "free", loss=mse_loss) -> Grammar:
    example, widths, channels, signed, weights = NETWORKS[name]
    layers = kicking_layers(example, widths, channels, signed=signed, weights=weights)
    wide = {key: Factory.of(double, factory) for key, factory in layers.items()}
    return kickback(samples(9, example, (1,)), wide, Factory.of(loss))


def double(factory: Factory) -> nn.Module:
    return factory().double()


def play(grammar: Grammar, seed: int = 0) -> tuple[dict[str, Tensor], Composed]:
    """What was told to each player in the first round, and Q composed for torch to differentiate."""
    with InlineExecutor(assign(grammar, RECORDER, seed=seed)) as executor:
        states = executor.states()
        executor.play(1)
        told = {name: flat(each) for name, each in delivered(executor).items()}
    return told, compose(grammar, states, seed)


def flat(tensors) -> Tensor:
    return torch.cat([each.reshape(-1) for each in tensors])


def gap(one: Tensor, two: Tensor) -> float:
    return float((one - two).abs().max() / two.abs().max())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("seed", range(5))
def test_the_top_two_layers_hear_the_gradient(name, seed):
    told, composed = play(network(name), seed)
    for player in list(told)[-2:]:
        assert gap(told[player], flat(composed.gradient(player))) <= 1e-10


def test_the_layers_below_do_not():
    told, composed = play(network("free"))
    for player in list(told)[:-2]:
        assert gap(told[player], flat(composed.gradient(player))) > 0.1


def test_the_logistic_loss_is_broadcast_alike():
    told, composed = play(network("signed", logistic))
    for player in list(told)[-2:]:
        assert gap(told[player], flat(composed.gradient(player))) <= 1e-10


def logistic(output: Tensor, y: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(output, (y > 0).to(output))


@pytest.mark.parametrize("name", ["free", "signed", "coherent", "convolutional"])
def test_each_layer_hears_the_gradient_of_its_own_local_loss(name):
    grammar = network(name)
    told, composed = play(grammar)
    output, players = composed.values[grammar.query.by_name["Loss"].inputs[0]], list(told)
    beta = 2 * (output - composed.values[Port("Nature.sample", 1)]).detach() / 9  # of the mean squared error
    for player, above in itertools.pairwise(players):
        units = local_losses(beta, composed.values[Port(above, 1)], composed.values[Port(player)])
        assert units.shape == composed.values[Port(player)].shape[1:]
        parameters = composed.parameters(player)
        found = torch.autograd.grad(units.sum(), parameters, retain_graph=True)
        assert gap(told[player], flat(found)) <= 1e-10
        promised = grammar.guarantee.loss_of(player)
        if player in players[:-2]:
            assert gap(flat(composed.gradient(player, promised)), flat(found)) <= 1e-10


def test_a_unit_descends_its_own_loss_alone():
    """The local loss of one unit has no gradient in the weights of another."""
    grammar = network("free")
    _, composed = play(grammar)
    beta, played = torch.ones(9, 1, dtype=torch.float64), composed.values[Port("Rectifier2")]
    units = local_losses(beta, composed.values[Port("Rectifier3", 1)], played)
    (weight, _) = composed.parameters("Rectifier2")
    for unit in range(len(units)):
        (found,) = torch.autograd.grad(units[unit], weight, retain_graph=True)
        others = [index for index in range(len(units)) if index != unit]
        assert found[others].abs().max() == 0


def test_nobody_waits_for_another_layer():
    grammar = network("signed")
    nodes = grammar.response.by_name
    for player in (each.name for each in grammar.query.players):
        behind = [nodes[name] for name in grammar.response.ancestors(f"deliver {player}")]
        assert sorted(each.of for each in behind if isinstance(each, Product)) == sorted(["Loss", player])
        assert [each.loss for each in behind if isinstance(each, Seed)] == [Port("Loss")]


def test_a_layer_hears_what_its_neighbours_played_and_the_broadcast():
    grammar = network("free")
    taps = {
        player: [
            nodes.port
            for name in grammar.response.ancestors(f"deliver {player}")
            if isinstance(nodes := grammar.response.by_name[name], Tap)
        ]
        for player in ("Rectifier1", "Rectifier2", "Rectifier3", "Output")
    }
    above = {"Rectifier1": "Rectifier2", "Rectifier2": "Rectifier3", "Rectifier3": "Output"}
    assert taps == {**{player: [Port(name, 1)] for player, name in above.items()}, "Output": []}


def test_one_oracle_tells_one_number_per_example_and_nobody_else_is_asked_for_a_value():
    grammar = network("signed")
    products = [node for node in grammar.response.nodes if isinstance(node, Product)]
    assert [node.of for node in products if node.toward] == ["Loss"]
    types = grammar.message_types
    assert repr(types[Port("Loss *")]) == "float64[batch, 1]"
    assert [node.kind for node in grammar.query.nodes] == [Kind.ORACLE, *[Kind.PLAYER] * 5, Kind.LOSS]


def test_what_is_promised_to_whom():
    guarantee = network("free").guarantee
    assert guarantee.categories == (Category.EXACT, Category.ESTIMATED)
    exact, *local, sign = guarantee.promises
    assert isinstance(exact, Exact) and (exact.players, exact.loss) == (("Rectifier3", "Output"), None)
    assert [each.players for each in local] == [("Rectifier1",), ("Rectifier2",)]
    assert isinstance(sign, SignCorrect) and sign.players == ("Rectifier1", "Rectifier2")
    assert network("two layers").guarantee.categories == (Category.EXACT,)


def test_backpropagation_differs_in_r_alone():
    grammar = network("free")
    other = replace(grammar, response=chain_rule(grammar.query, grammar.objective))
    told, composed = play(other)
    for player, found in told.items():
        assert gap(found, flat(composed.gradient(player))) <= 1e-10


def test_kicked_takes_any_shape_of_units():
    beta, kick = torch.tensor([[2.0], [3.0]]), torch.ones(2, 4, 1, 3)
    assert kicked(beta, kick).shape == kick.shape
    assert kicked(beta, kick)[:, 1, 0, 2].tolist() == [2.0, 3.0]


def test_single_and_double_precision_tell_the_same():
    layers = kicking_layers((5,), [7, 6, 4], signed=True, weights=Weights.COHERENT)
    torch.manual_seed(0)
    single = kickback(arrays(torch.randn(9, 5), torch.randn(9, 1), batch=9), layers)
    told, wide = play(single)[0], play(in_float64(single))[0]
    assert all(gap(told[player].double(), wide[player]) < 1e-4 for player in told)


class Twice(nn.Module):
    """A layer of one's own that plays its kick in the wrong shape."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, dtype=torch.float64)

    def forward(self, S: Tensor) -> tuple[Tensor, Tensor]:
        played = self.linear(S)
        return played, played


def test_layers_that_do_not_kick_are_refused(refusal):
    made = {"A": Factory.of(nn.Linear, 3, 2, dtype=torch.float64)}
    assert refusal(GrammarError, lambda: kickback(samples(4, (3,), (1,)), made)) == (
        "layer 'A' plays float64[batch, 2] from float64[batch, 3]; expected its output and its kick, which is "
        "float64[batch, 3] as its input is. Return both from its forward, or take a layer of "
        "`antiphon.grammars.library.kicking`."
    )
    made = {"A": Factory.of(Twice, 3, 2)}
    assert refusal(GrammarError, lambda: kickback(samples(4, (3,), (1,)), made)).startswith(
        "layer 'A' plays float64[batch, 2], float64[batch, 2] from float64[batch, 3]; expected its output and its kick"
    )


def test_an_output_of_several_numbers_is_refused(refusal):
    made = {"A": Factory.of(Twice, 2, 2)}
    assert refusal(ShapeError, lambda: kickback(samples(4, (2,), (1,)), made)) == (
        "layer 'A' is the last of kickback and plays float64[batch, 2]; expected (batch, 1), because what is "
        "broadcast is one number per example. Give it one output, or play a network for each."
    )
    assert refusal(GrammarError, lambda: kickback(samples(4, (2,), (1,)), {})) == (
        "kickback was given no layers; expected at least one. Name them in order."
    )
