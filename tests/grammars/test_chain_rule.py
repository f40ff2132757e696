"""The chain rule and its edits: each changes just what it says."""

import pytest
import torch
from torch import nn

from antiphon.errors import BlackBoxError
from antiphon.grammars.chain_rule import chain_rule, cut_into, negate_into
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.maps import negate, scale
from antiphon.grammars.objective import maximise, minimise
from antiphon.grammars.oracle import OracleDeclaration, Question
from antiphon.grammars.query import Port
from antiphon.grammars.random_grammars import Fork, TanhLayer, batch_of, mean_gap, mean_softplus, medium, samples
from antiphon.grammars.response import Product, ResponseGraph, Seed, Sum, Tap


def chain(begun, *names: str):
    """names: players (3 -> 3), one after the other, then a loss against x."""
    q, x, _ = begun
    values = [x]
    for name in names:
        values.append(q.player(name, TanhLayer, 3, 3)(values[-1]))
    return q, values[1:], minimise(q.loss("Loss", mean_gap)(values[-1], x))


def text(graph: ResponseGraph) -> list[str]:
    return repr(graph).splitlines()[1:]


def test_backprop_is_the_chain_rule(begun):
    q, _, objective = chain(begun, "A", "B")
    assert text(chain_rule(q, objective)) == [
        "  d Loss = seed +1 at Loss",
        "  Loss * = Loss * (d Loss) -> input 0",
        "  B * = B * (Loss *) -> input 0, parameters",
        "  A * = A * (B *) -> parameters",
        "  A receives A *.parameters",
        "  B receives B *.parameters",
    ]


@pytest.mark.parametrize("length", [1, 3, 5])
def test_the_depth_of_r_is_the_depth_of_q(begun, length):
    q, _, objective = chain(begun, *(f"L{index}" for index in range(length)))
    graph = chain_rule(q, objective)
    products = [node for node in graph.nodes if isinstance(node, Product) and node.of.startswith("L")]
    chained = [name for name in graph.ancestors("deliver L0") if name in {node.name for node in products} - {"Loss *"}]
    assert len(chained) == length


def test_a_maximised_objective_is_seeded_with_minus_one(begun):
    q, x, _ = begun
    loss = q.loss("Loss", mean_gap)(q.player("A", TanhLayer, 3, 3)(x), x)
    up, down = chain_rule(q, maximise(loss)), chain_rule(q, minimise(loss))
    assert (up.nodes[0], down.nodes[0]) == (Seed("d Loss", Port("Loss"), -1.0), Seed("d Loss", Port("Loss"), 1.0))
    assert up.nodes[1:] == down.nodes[1:]


def test_negate_into_adds_one_sign_upstream_of_one_owner(begun):
    q, _, objective = chain(begun, "A", "B")
    plain, edited = chain_rule(q, objective), chain_rule(q, objective, edit=negate_into("A"))
    assert set(text(edited)) - set(text(plain)) == {
        "  minus, into A = antiphon.grammars.maps:negate() (B *)",
        "  A * = A * (minus, into A) -> parameters",
    }
    assert edited.ancestors("deliver B") == plain.ancestors("deliver B")


def test_cut_into_prunes_what_nobody_needs(begun):
    q, _, objective = chain(begun, "A", "B", "C")
    edited = chain_rule(q, objective, edit=cut_into("B"))
    assert [delivery.player for delivery in edited.deliveries] == ["C"]
    assert edited.by_name["C *"] == Product("C *", "C", (Port("Loss *"),), (), True)
    assert "B *" not in edited.by_name


def test_edits_see_who_tells_whom_and_run_in_order(begun):
    q, _, objective = chain(begun, "A", "B")
    seen = []

    def look(upstream):
        seen.append((upstream.source.name, upstream.target.name, upstream.value, repr(upstream.message)))
        return upstream.message

    def halve(upstream):
        return upstream.response.map(scale, upstream.message, factor=0.5)

    chain_rule(q, objective, edit=[halve, look])
    assert seen == [
        ("Loss", "B", Port("B"), "message scale"),
        ("B", "A", Port("A"), "message scale#2"),
    ]


def test_an_edit_after_a_cut_sees_nothing(begun):
    q, _, objective = chain(begun, "A", "B")
    seen = []
    chain_rule(
        q, objective, edit=[cut_into("A"), lambda upstream: seen.append(upstream.target.name) or upstream.message]
    )
    assert seen == ["B"]


def test_an_answer_tells_what_the_chain_rule_would_not(begun):
    q, (a, b), objective = chain(begun, "A", "B")
    graph = chain_rule(q, objective, edit=cut_into("A"), answers={a: lambda r: r.map(negate, r.tap(b))})
    ancestors = graph.ancestors("deliver A")
    assert [repr(node) for node in graph.nodes if node.name in ancestors] == [
        "tap B = tap B",
        "negate = antiphon.grammars.maps:negate() (tap B)",
        "A * = A * (negate) -> parameters",
        "A receives A *.parameters",
    ]


def test_an_answer_adds_to_what_is_said(begun):
    q, (a, b), objective = chain(begun, "A", "B")
    graph = chain_rule(q, objective, answers={a: lambda r: r.tap(b)})
    (total,) = [node for node in graph.nodes if isinstance(node, Sum)]
    assert total == Sum("sum at A", (Port("tap B"), Port("B *")))


def test_a_player_asked_twice_hears_the_sum_in_the_order_of_asking(begun):
    q, x, _ = begun
    a = q.player("A", TanhLayer, 3, 3)
    objective = minimise(q.loss("Loss", mean_gap)(a(a(x)), x))
    graph = chain_rule(q, objective)
    parts = (Port("A *", -1), Port("A#2 *", -1))
    assert graph.by_name["sum for A"] == Sum("sum for A", parts)
    assert graph.deliveries[0].message == Port("sum for A")


def test_a_fan_out_sums_in_the_order_of_asking(begun):
    q, x, _ = begun
    a = q.player("A", TanhLayer, 3, 3)(x)
    one, two = q.player("B", TanhLayer, 3, 3)(a), q.player("C", TanhLayer, 3, 3)(a)
    graph = chain_rule(q, minimise(q.loss("Loss", mean_gap)(two, one)))
    assert graph.by_name["sum at A"].inputs == (Port("B *"), Port("C *"))


def test_outputs_of_which_nothing_is_said_have_no_cotangent(begun):
    q, x, _ = begun
    _, right = q.player("A", Fork, 3, 5)(x)
    graph = chain_rule(q, minimise(q.loss("Loss", mean_gap)(right, x)))
    assert graph.by_name["A *"] == Product("A *", "A", (None, Port("Loss *")), (), True)


def test_nothing_is_told_to_data_integers_and_clones(begun):
    q, x, _ = begun
    player = q.player("A", TanhLayer, 3, 3)
    a = player(x)
    copied = q.clone("A~", player)(a)
    label = q.operator("label", torch.argmax, dim=1)(a)
    kept = q.operator("kept", picked)(a, label, copied)
    graph = chain_rule(q, minimise(q.loss("Loss", mean_softplus)(kept)))
    products = {node.name: node for node in graph.nodes if isinstance(node, Product)}
    assert sorted(products) == ["A *", "Loss *", "kept *"]
    assert (products["kept *"].toward, products["A *"].toward) == ((0,), ())


def picked(value, label, other):
    return value * other * label[:, None]


def test_a_black_box_on_the_way_to_a_player_is_refused(begun, refusal):
    q, x, _ = begun
    box = OracleDeclaration(Factory.of(object), (Question("weigh", (batch_of(3),), (batch_of(3),)),))
    loss = q.loss("Loss", mean_gap)(q.oracle("Scale", box)(q.player("A", TanhLayer, 3, 3)(x)), x)
    assert refusal(BlackBoxError, lambda: chain_rule(q, minimise(loss))) == (
        "the chain rule needs a gradient of 'weigh' from oracle 'Scale' on the way to player 'A'; "
        "expected a gray box, but it is a black box and answers values only. "
        "Cut it (`edit=cut_into('Scale')`), or let a player estimate the gradient."
    )
    assert chain_rule(q, minimise(loss), edit=cut_into("Scale")).nodes == ()


def test_a_gray_box_is_walked_through(begun):
    q, x, _ = begun
    bent = q.oracle("Medium", medium(3))(q.player("A", TanhLayer, 3, 3)(x))
    graph = chain_rule(q, minimise(q.loss("Loss", mean_gap)(bent, x)))
    assert graph.by_name["Medium.bend *"] == Product("Medium.bend *", "Medium.bend", (Port("Loss *"),), (0,), False)


def test_a_gan_is_a_chain_rule_and_one_minus_sign():
    def gan(edit=()):
        q = QueryDraft()
        x, noise = q.oracle("Nature", samples(4, (3,), (3,)))()
        curator = q.player("Curator", nn.Linear, 3, 1, dtype=torch.float64)
        forger = q.player("Forger", TanhLayer, 3, 3)
        objective = minimise(q.loss("Loss", mean_gap)(curator(x), curator(forger(noise))))
        return Grammar("gan", q.graph(), chain_rule(q, objective, edit=edit), objective)

    plain, adversarial = gan(), gan(negate_into("Forger"))
    assert not any(isinstance(node, Tap) for node in adversarial.response.nodes)
    more = [node.name for node in adversarial.response.nodes if node.name not in plain.response.by_name]
    assert more == ["minus, into Forger"]
