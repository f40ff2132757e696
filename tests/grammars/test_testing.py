"""Random grammars: of every kind, the same for the same seed; the reference is plain automatic differentiation."""

from collections import Counter

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.agents.player import Player
from antiphon.agents.specification import AgentSpecification
from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.objective import maximise
from antiphon.grammars.query import Kind
from antiphon.grammars.seeds import stream
from antiphon.grammars.testing import Dense, draw_grammar, mean_gap, reference_gradients, sample_grammar, samples


def test_one_seed_makes_one_grammar():
    assert sample_grammar(5) == sample_grammar(5) != sample_grammar(6)


@settings(max_examples=25)
@given(st.data())
def test_any_choices_make_a_grammar(data):
    grammar = draw_grammar(lambda n: data.draw(st.integers(0, n - 1)))
    assert grammar.response.deliveries


def test_the_samples_hold_every_kind_of_graph():
    grammars = [sample_grammar(seed) for seed in range(40)]
    kinds = Counter(node.kind for grammar in grammars for node in grammar.query.nodes)
    assert set(kinds) == set(Kind)
    names = " ".join(node.owner for grammar in grammars for node in grammar.query.nodes)
    for name in (
        "Dense",
        "Soft",
        "Fork",
        "Pair",
        "Norm",
        "Filter",
        "pool",
        "add",
        "join",
        "rectify",
        "Medium",
        "Clone",
    ):
        assert name in names
    uses = [Counter(node.owner for node in each.query.nodes if node.kind is Kind.PLAYER) for each in grammars]
    assert sum(max(each.values()) > 1 for each in uses) > 10
    assert sum(len(each.objective.losses) > 1 for each in grammars) > 10
    assert len({each.objective.direction for each in grammars}) == 2


def test_the_reference_by_hand():
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(4, (3,), (2,)))()
    objective = maximise(q.loss("Loss", mean_gap)(q.player("A", Dense, 3, 2)(x), y))
    grammar = Grammar("g", q.graph(), chain_rule(q, objective), objective)
    player = Player("A", grammar.query.players[0].factory, AgentSpecification.of("SGD", {"lr": 1.0}), 3)
    found = reference_gradients(grammar, {"A": player.state()}, seed=1, round=2)["A"]
    weight, bias = (value.detach() for value in player.parameters)
    x, y = samples(4, (3,), (2,)).make(stream(1, "oracle", "Nature")).answer("sample", (), 2)
    played = torch.tanh(x @ weight.T + bias)
    slope = -2 * (played - y) / 4 * (1 - played**2)
    torch.testing.assert_close(found, [slope.T @ x, slope.sum(0)], rtol=1e-12, atol=0)
