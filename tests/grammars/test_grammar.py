"""Grammar: a value with a signature, refused where Q, R and the objective do not fit."""

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from antiphon.errors import GrammarError
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.chain_rule import chain_rule, cut_into, negate_into
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import Exact, PlayerLoss, exact, promised
from antiphon.grammars.objective import Objective, Term, maximise, minimise
from antiphon.grammars.oracle import Box, OracleDeclaration, Question
from antiphon.grammars.query import Port
from antiphon.grammars.random_grammars import Samples, TanhLayer, batch_of, mean_gap, sample_grammar, samples
from antiphon.grammars.response import Map, ResponseGraph, Tap


def grammar(
    *, width=5, batch=4, every=1, soft=0.5, follow=1, edit=(), direction=minimise, name="g", box=Box.BLACK, promise=()
) -> Grammar:
    q = QueryDraft()
    question = Question("sample", (), (batch_of(3),), box)
    nature = OracleDeclaration(Factory.of(Samples, (batch, 3)), (question,), (("batch", batch),))
    with q.query_pass("learn", every=every):
        x = q.oracle("Nature", nature)()
        first = q.player("First", TanhLayer, 3, width)
        old = q.clone("Old", first, soft=soft, cadence=Cadence(follow))(x)
        second = q.player("Second", TanhLayer, width, width)(first(x))
        objective = direction(q.loss("Loss", mean_gap)(second, old))
    return Grammar(name, q.graph(), chain_rule(q, objective, edit=edit), objective, exact(*promise))


CHANGES = {
    "name": {"name": "h"},
    "argument": {"width": 6},
    "size": {"batch": 5},
    "pass": {"every": 2},
    "clone": {"soft": 0.25},
    "entire clone": {"soft": None},
    "clone's cadence": {"follow": 2},
    "edit": {"edit": negate_into("First")},
    "direction": {"direction": maximise},
    "box": {"box": Box.GRAY},
    "guarantee": {"promise": ("First",)},
}


def test_equal_construction_makes_equal_values():
    assert grammar() == grammar()
    assert hash(grammar()) == hash(grammar())
    assert grammar().signature == grammar().signature
    assert pickle.loads(pickle.dumps(grammar())) == grammar()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_any_change_is_another_grammar(change):
    assert grammar(**change) != grammar()
    assert grammar(**change).signature != grammar().signature


def test_all_changes_differ_among_themselves():
    assert len({grammar(**change).signature for change in CHANGES.values()}) == len(CHANGES)


def test_the_signature_has_each_node_of_r_with_its_inputs():
    q = QueryDraft()
    x = q.oracle("Nature", samples(4, (3,)))()
    player = q.player("A", TanhLayer, 3, 3)
    objective = minimise(q.loss("Loss", mean_gap)(player(player(x)), x))
    one = Grammar("twice", q.graph(), chain_rule(q, objective), objective)
    found = {name: inputs for _, name, inputs, *_ in one.description["response"]}
    assert found == {node.name: [[port.node, port.index] for port in node.inputs] for node in one.response.nodes}


def test_a_change_in_r_alone_is_another_grammar():
    one = grammar()
    seed, *rest = one.response.nodes
    other = replace(one, response=ResponseGraph((replace(seed, weight=2.0), *rest)))
    assert other.signature != one.signature


def test_the_signature_is_the_same_in_every_process():
    code = (
        "from antiphon.grammars.random_grammars import sample_grammar as s; print(*(s(n).signature for n in range(3)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    told = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == [sample_grammar(seed).signature for seed in range(3)]


def test_the_description_is_json_and_canonical():
    text = json.dumps(grammar().description, sort_keys=True)
    assert json.dumps(json.loads(text), sort_keys=True) == text
    assert sorted(grammar().description) == [
        "boxes", "clones", "guarantee", "name", "objective", "oracles", "passes", "players", "query", "response",
    ]  # fmt: skip


def test_it_reads_as_four_parts():
    lines = repr(grammar()).splitlines()
    assert lines[0] == "grammar g: minimise Loss, guarantee exact"
    assert lines[1] == "Q:"
    assert "R:" in lines


def test_a_player_that_hears_nothing_is_refused(refusal):
    assert refusal(GrammarError, lambda: grammar(edit=cut_into("First"))) == (
        "player 'First' of grammar 'g' receives no message, so it could never move; expected a delivery "
        "to every player, found deliveries to ['Second']. Deliver a message to it, or declare it as an oracle."
    )


def test_a_response_node_that_nobody_hears_is_refused(refusal):
    one = grammar()
    spare = (Tap("t", Port("First")), Map("m", Factory.of(torch.neg), (Port("t"),)))
    assert refusal(GrammarError, lambda: replace(one, response=ResponseGraph((*one.response.nodes, *spare)))) == (
        "response node 't' of grammar 'g' reaches no player; expected a path from every node "
        "of R to a delivery. Deliver it, or leave it out (a `ResponseDraft` does)."
    )


def test_an_objective_is_made_of_losses(refusal):
    one = grammar()
    assert refusal(GrammarError, lambda: replace(one, objective=Objective(()))) == (
        "grammar 'g' has no loss in its objective; expected at least one. Name one."
    )
    assert refusal(GrammarError, lambda: replace(one, objective=Objective((Term((Port("Second"),)),)))) == (
        "the objective of grammar 'g' is Second, which is a player in the Query graph; "
        "expected a loss. Declare it with `loss`."
    )
    assert refusal(GrammarError, lambda: replace(one, objective=Objective((Term((Port("Gain"),)),)))) == (
        "the objective of grammar 'g' is Gain, which is nothing in the Query graph; "
        "expected a loss. Declare it with `loss`."
    )


def test_an_objective_that_no_player_influences_is_refused(refusal):
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(4, (3,), (3,)))()
    first = q.player("First", TanhLayer, 3, 3)
    heard = minimise(q.loss("Loss", mean_gap)(first(x), y))
    still = minimise(q.loss("Still", mean_gap)(q.clone("Old", first)(x), y))
    assert refusal(GrammarError, lambda: Grammar("g", q.graph(), chain_rule(q, heard), still)) == (
        "no player influences Still, the objective of grammar 'g'; expected a path from some "
        "player to it. Connect a player's output to this loss."
    )


@pytest.mark.parametrize(
    "promise", [Exact(("Firts",)), Exact(("First",), PlayerLoss.of(torch.sum, players=("Firts",)))]
)
def test_a_promise_about_nobody_is_refused(promise):
    right = grammar()
    with pytest.raises(GrammarError, match=r"'Firts'.*\['First', 'Second'\]"):
        replace(right, guarantee=promised(promise))
