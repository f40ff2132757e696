"""The reference: Q composed, differentiated by torch, held here to a gradient worked out by hand."""

import torch

from antiphon.agents.player import Player
from antiphon.agents.specification import AgentSpecification
from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.objective import maximise
from antiphon.grammars.random_grammars import TanhLayer, mean_gap, samples
from antiphon.grammars.reference import reference_gradients
from antiphon.grammars.seeds import stream


def test_the_reference_by_hand():
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(4, (3,), (2,)))()
    objective = maximise(q.loss("Loss", mean_gap)(q.player("A", TanhLayer, 3, 2)(x), y))
    grammar = Grammar("g", q.graph(), chain_rule(q, objective), objective)
    player = Player("A", grammar.query.players[0].factory, AgentSpecification.of("SGD", {"lr": 1.0}), 3)
    found = reference_gradients(grammar, {"A": player.state()}, seed=1, round=2)["A"]
    weight, bias = (value.detach() for value in player.parameters)
    x, y = samples(4, (3,), (2,)).make(stream(1, "oracle", "Nature")).answer("sample", (), 2)
    played = torch.tanh(x @ weight.T + bias)
    slope = -2 * (played - y) / 4 * (1 - played**2)
    torch.testing.assert_close(found, [slope.T @ x, slope.sum(0)], rtol=1e-12, atol=0)
