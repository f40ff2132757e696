"""REINFORCE: the cost of an example is one message for all hidden layers, and no layer hears of another."""

import pytest
import torch
from torch import nn

from antiphon.checks.suites.reinforce import mean_cost, networks
from antiphon.envs import arrays
from antiphon.errors import GrammarError
from antiphon.grammars import Factory, Grammar, Kind
from antiphon.grammars.library import Perceptron, activated_layers, reinforce
from antiphon.grammars.response import Product, Tap

X, Y = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3


def game(widths: list[int], inputs: int = 4) -> Grammar:
    nature = arrays(X, Y, batch=6, shuffle=False)
    return reinforce(nature, activated_layers((4,), widths, 3), Factory.of(Perceptron, inputs, 1, (5,)))


def test_costs_and_baseline_are_broadcast_and_layers_are_apart():
    grammar = game([5, 4, 3])
    taps = [node.port.node for node in grammar.response.nodes if isinstance(node, Tap)]
    assert sorted(taps) == ["Baseline", "Costs"]
    for name in ("Dense1", "Dense2", "Dense3"):
        above = grammar.response.ancestors(f"deliver {name}")
        told = [node.of for node in grammar.response.nodes if isinstance(node, Product) and node.name in above]
        assert told == [f"{name} sample", name]


def test_the_closed_form_of_the_suite_is_a_mean_over_samples():
    hidden, output = nn.Linear(4, 3), nn.Linear(3, 3)
    with torch.no_grad():
        bits = hidden(X).sigmoid().expand(20_000, 6, 3).bernoulli()
        costs = nn.functional.cross_entropy(output(bits).flatten(0, 1), Y.repeat(20_000), reduction="none")
        error = costs.std() / len(costs) ** 0.5
        assert (mean_cost(hidden, output, X, Y) - costs.mean()).abs() <= 5 * error <= 0.05


def test_units_may_have_any_density():
    assert {node.kind for seed in range(4) for node in networks(seed).query.nodes} >= {Kind.OPERATOR, Kind.LOSS}
    assert len({repr(networks(seed).query.by_name["Dense1 sample"].operator) for seed in range(4)}) == 2


def test_a_network_without_a_hidden_layer_is_refused():
    with pytest.raises(GrammarError) as refused:
        game([])
    assert all(each in str(refused.value) for each in ("'Output'", "at least 2"))
