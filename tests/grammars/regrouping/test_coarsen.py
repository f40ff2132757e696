"""Coarsening is the inverse of refining, where there is one; where there is none, it says why."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from antiphon.errors import GrammarError
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.chain_rule import chain_rule, negate_into
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import exact
from antiphon.grammars.maps import scale
from antiphon.grammars.objective import minimise
from antiphon.grammars.query import Kind
from antiphon.grammars.random_grammars import Fork, TanhLayer, mean_gap, mean_softplus, sample_grammar, samples
from antiphon.grammars.regrouping import Child, Composite, coarsen, refine, units

REFINABLE = ("Dense", "Soft", "Filter")


def chain(*names: str, edit=(), answers=None) -> Grammar:
    """Players 3 -> 3, one after the other, with a rectifier behind each."""
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(4, (3,), (3,)))()
    values = {}
    for name in names:
        x = values[name] = q.operator(f"bend {name}", nn.Tanh)(q.player(name, TanhLayer, 3, 3)(x))
    objective = minimise(q.loss("Loss", mean_gap)(x, y))
    told = answers(values) if answers else None
    return Grammar("chain", q.graph(), chain_rule(q, objective, edit=edit, answers=told), objective, exact(*names))


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_coarsening_undoes_refining(seed):
    grammar = sample_grammar(seed)
    names = [player.name for player in grammar.query.players if player.name.startswith(REFINABLE)]
    layers = [f"{name}.0" for name in names if not name.startswith("Filter")]
    fine = refine(refine(grammar, *names), *layers, into=units)
    for name in (*layers[::-1], *names[::-1]):
        fine = coarsen(fine, name, name)
    assert fine.grammar == grammar
    assert fine.grammar.signature == grammar.signature
    assert all(span.start == 0 for _, spans in fine.spans for span in spans)


def test_a_chain_becomes_a_composite_with_what_stands_between():
    coarse = coarsen(chain("A", "B", "C"), ["A", "B"], "AB")
    assert [node.name for node in coarse.grammar.query.nodes] == [
        "Nature.sample",
        "AB",
        "bend B",
        "C",
        "bend C",
        "Loss",
    ]
    assert coarse.spans[0][0] == "AB"
    assert repr(coarse.spans[0][1]) == "(A[0:12], B[0:12])"
    assert coarse.grammar.guarantee == exact("AB", "C")
    module = coarse.grammar.query.player_by_name["AB"].factory()
    assert isinstance(module, Composite)
    assert repr(module.brick) == "brick(A, bend A, B)"
    x = torch.rand(2, 3, dtype=torch.float64)
    a, b = module.members
    assert module(x).equal(b(torch.tanh(a(x))))


def test_its_response_graph_has_one_product_for_all_of_them():
    coarse = coarsen(chain("A", "B", "C"), ["B", "C"], "BC").grammar.response
    assert [repr(node) for node in coarse.nodes] == [
        "d Loss = seed +1 at Loss",
        "Loss * = Loss * (d Loss) -> input 0",
        "bend C * = bend C * (Loss *) -> input 0",
        "BC * = BC * (bend C *) -> input 0, parameters",
        "bend A * = bend A * (BC *) -> input 0",
        "A * = A * (bend A *) -> parameters",
        "A receives A *.parameters",
        "BC receives BC *.parameters",
    ]


def test_an_operator_that_is_named_goes_along():
    coarse = coarsen(chain("A", "B"), ["A", "bend A"], "A'").grammar.query
    assert [node.name for node in coarse.nodes] == ["Nature.sample", "A'", "B", "bend B", "Loss"]


def test_a_composite_is_refined_into_its_players():
    coarse = coarsen(chain("A", "B", "C"), ["A", "B"], "AB").grammar
    again = refine(coarse, "AB")
    assert repr(again).splitlines()[1:3] == ["  AB.A = AB[0:12]", "  AB.B = AB[12:24]"]
    assert again.grammar.query.player_by_name["AB.B"].factory == Factory.of(
        Child, coarse.query.player_by_name["AB"].factory, "members.1"
    )


def test_edits_outside_of_the_group_survive():
    coarse = coarsen(chain("A", "B", "C", edit=negate_into("bend A")), ["B", "C"], "BC").grammar.response
    assert "  minus, into bend A = antiphon.grammars.maps:negate() (BC *)" in repr(coarse).splitlines()


def test_what_is_answered_from_outside_goes_in_by_an_output_of_its_own():
    coarse = coarsen(
        chain(
            "A", "B", "C", answers=lambda values: {values["A"]: lambda r: r.map(scale, r.tap(values["C"]), factor=2.0)}
        ),
        ["A", "bend A", "B"],
        "AB",
    ).grammar
    (node,) = [node for node in coarse.query.nodes if node.kind is Kind.PLAYER and node.owner == "AB"]
    assert len(node.outputs) == 2
    assert "  AB * = AB * (scale, bend B *) -> parameters" in repr(coarse.response).splitlines()


def test_players_asked_apart_become_one_with_several_inputs_and_outputs():
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(4, (3,), (2,)))()
    left, right = q.player("Fork", Fork, 3, 2)(x)
    objective = minimise(
        q.loss("Loss", mean_gap)(q.player("A", TanhLayer, 2, 2)(left), y),
        q.loss("Side", mean_softplus)(q.player("B", TanhLayer, 2, 2)(y)),
        q.loss("Other", mean_softplus)(right),
    )
    grammar = Grammar("apart", q.graph(), chain_rule(q, objective), objective)
    node = coarsen(grammar, ["A", "B"], "AB").grammar.query.by_name["AB"]
    assert (len(node.inputs), len(node.outputs)) == (2, 2)


def shared(edit=()) -> Grammar:
    """A generative adversarial game in small: Curator is asked of data and of what Forger made."""
    q = QueryDraft()
    x, noise = q.oracle("Nature", samples(4, (3,), (3,)))()
    trunk, head = q.player("Trunk", TanhLayer, 3, 4), q.player("Head", nn.Linear, 4, 1, dtype=torch.float64)
    forger = q.player("Forger", TanhLayer, 3, 3)
    objective = minimise(q.loss("Loss", mean_gap)(head(trunk(x)), head(trunk(forger(noise)))))
    return Grammar("gan", q.graph(), chain_rule(q, objective, edit=edit), objective)


def test_a_group_that_is_asked_twice_is_a_player_asked_twice():
    coarse = coarsen(shared(negate_into("Forger")), ["Trunk", "Head"], "Curator").grammar
    asked = [node.name for node in coarse.query.nodes if node.kind is Kind.PLAYER]
    assert asked == ["Curator", "Forger", "Curator#2"]
    assert "  minus, into Forger = antiphon.grammars.maps:negate() (Curator#2 *)" in repr(coarse.response).splitlines()


def test_an_edit_inside_of_the_group_is_refused(refusal):
    assert refusal(
        GrammarError, lambda: coarsen(shared(negate_into("Forger")), ["Trunk", "Head", "Forger"], "All")
    ) == (
        "the players ['Trunk', 'Head', 'Forger'] cannot be one player 'All': response node 'minus, into Forger' takes "
        "a message of 'Trunk#2 *' inside the group; expected the chain rule alone there, because one player has one "
        "product. Leave the players on one side of this edit out of the group."
    )
    assert coarsen(shared(), ["Trunk", "Head", "Forger"], "All").grammar.query.by_name["All"]


def test_a_cut_inside_of_the_group_is_refused(refusal):
    def cut(upstream):
        return None if upstream.source.name == "Trunk" or upstream.target.name == "Trunk" else upstream.message

    assert refusal(GrammarError, lambda: coarsen(shared(cut), ["Trunk", "Head"], "Curator")) == (
        "the players ['Trunk', 'Head'] cannot be one player 'Curator': 'Trunk' receives another message than by "
        "the chain rule inside the group; expected the chain rule there, because one player has one product. "
        "Leave the players on one side of the edit out of the group, or undo the edit."
    )


def test_a_way_that_leaves_the_group_and_comes_back_is_refused(refusal):
    assert refusal(GrammarError, lambda: coarsen(chain("A", "B", "C"), ["A", "C"], "AC")) == (
        "the players ['A', 'C'] cannot be one: an output comes back as an input through 'bend B'; expected "
        "only these players and operators on the paths between them. "
        "Take the players on that path into the group, or leave out the players before it or after it."
    )


def test_players_asked_differently_in_two_passes_are_refused(refusal):
    q = QueryDraft()
    a, b = q.player("A", TanhLayer, 3, 3), q.player("B", TanhLayer, 3, 3)
    nature = q.oracle("Nature", samples(4, (3,)))
    with q.query_pass("one"):
        objective = minimise(q.loss("Loss", mean_softplus)(a(nature())), q.loss("Side", mean_softplus)(b(nature())))
    with q.query_pass("other", every=2):
        q.operator("see", torch.tanh)(b(a(nature())))
    grammar = Grammar("passes", q.graph(), chain_rule(q, objective), objective)
    assert refusal(GrammarError, lambda: coarsen(grammar, ["A", "B"], "AB")) == (
        "the players ['A', 'B'] are asked differently from one time to the next (A; B; A#2, B#2); expected the same "
        "composition each time, since one player plays one function. Leave out the players that are asked elsewhere."
    )


@pytest.mark.parametrize("second", [{"soft": 0.5}, {"soft": 0.1, "cadence": Cadence(2)}, None])
def test_players_that_are_not_cloned_alike_are_refused(second, refusal):
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(4, (3,), (3,)))()
    a, b = q.player("A", TanhLayer, 3, 3), q.player("B", TanhLayer, 3, 3)
    seen = q.clone("A~", a, soft=0.1)(x)
    target = q.clone("B~", b, **second)(seen) if second else seen
    objective = minimise(q.loss("Loss", mean_gap)(b(a(y)), target))
    grammar = Grammar("cloned", q.graph(), chain_rule(q, objective), objective)
    assert refusal(GrammarError, lambda: coarsen(grammar, ["A", "B"], "AB")) == (
        "the players ['A', 'B'] are not cloned alike; expected as many clones of each, which follow by the same rule. "
        "Clone all of them alike, or leave the players apart."
    )


def test_names_of_nobody_are_refused(refusal):
    assert refusal(GrammarError, lambda: coarsen(chain("A", "B"), ["A", "Bee"], "AB")) == (
        "'Bee' is no player of this Query graph, nor an operator or a brick; expected some of ['A', 'B'], or a "
        "brick of them. Correct the name."
    )
    assert refusal(GrammarError, lambda: coarsen(chain("A", "B"), ["bend A"], "AB")) == (
        "['bend A'] are no players of this Query graph; expected some of ['A', 'B'], or a brick of them. "
        "Name one of these."
    )
