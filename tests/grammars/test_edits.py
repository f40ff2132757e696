"""Edits of a Response graph: of a message upstream, of a way past a product, of what a player receives."""

import torch

from antiphon.errors import GrammarError, ShapeError
from antiphon.grammars import (
    Factory,
    Grammar,
    Port,
    QueryDraft,
    Value,
    chain_rule,
    cut_into,
    freeze_at,
    minimise,
    negate,
    scale,
)
from antiphon.grammars.objective import Objective
from antiphon.grammars.random_grammars import Fork, TanhLayer, mean_gap, samples
from antiphon.grammars.response import Map, Product, Sum


def chain() -> tuple[QueryDraft, list[Value], Objective]:
    """A is asked twice, then B; a loss of B's output."""
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(4, (3,), (3,)))()
    a, b = q.player("A", TanhLayer, 3, 3), q.player("B", TanhLayer, 3, 3)
    once = a(x)
    twice = a(once)
    out = b(twice)
    return q, [x, once, twice, out], minimise(q.loss("Loss", mean_gap)(out, y))


def test_an_edit_sees_the_gradient_before_and_after_the_product():
    q, (_, once, twice, out), objective = chain()
    seen = {}

    def look(upstream):
        known = [value for value in (out, twice, once) if value in upstream.arrived]
        seen[upstream.source.name] = upstream.cotangent.port, upstream.message.port, known
        return upstream.message

    chain_rule(q, objective, edit=look)
    assert seen == {
        "Loss": (Port("d Loss"), Port("Loss *"), []),
        "B": (Port("Loss *"), Port("B *"), [out]),
        "A#2": (Port("B *"), Port("A#2 *"), [out, twice]),
    }


def test_a_way_past_a_product_leaves_no_trace_of_the_product():
    q, _, objective = chain()

    def past(upstream):
        return upstream.response.map(negate, upstream.cotangent) if upstream.source.owner == "B" else upstream.message

    response = chain_rule(q, objective, edit=past)
    assert response.by_name["negate"] == Map("negate", Factory.of(negate), (Port("Loss *"),))
    assert response.by_name["B *"] == Product("B *", "B", (Port("Loss *"),), (), True)
    assert response.by_name["A#2 *"].inputs == (Port("negate"),)


def test_freezing_one_use_leaves_the_other_and_the_way_through():
    q, (_, once, twice, _), objective = chain()
    plain = chain_rule(q, objective)
    for value, use, other in ((once, "A *", "A#2 *"), (twice, "A#2 *", "A *")):
        frozen = chain_rule(q, objective, delivery=freeze_at(value))
        assert frozen.deliveries[0].message == Port(other, -1)
        assert frozen.deliveries[1] == plain.deliveries[1]
        assert (use in frozen.by_name) == (use == "A#2 *")  # A#2 still passes the gradient on to A


def test_a_delivery_may_be_changed_for_one_use():
    q, _, objective = chain()

    def half(delivery):
        first = delivery.source.name == "A"
        assert delivery.player == delivery.source.owner
        return delivery.response.map(scale, delivery.message, factor=0.5) if first else delivery.message

    response = chain_rule(q, objective, delivery=half)
    assert response.by_name["scale"].inputs == (Port("A *", -1),)
    assert response.by_name["sum for A"] == Sum("sum for A", (Port("scale"), Port("A#2 *", -1)))


def test_an_edit_may_deliver_more_to_a_player():
    q, _, objective = chain()

    def also(upstream):
        if upstream.source.name == "B":
            own = upstream.response.product("A", upstream.message)
            upstream.response.deliver("A", own.parameters)
        return upstream.message

    response = chain_rule(q, objective, edit=also)
    (delivered,) = [each for each in response.deliveries if each.player == "A"]
    total = response.by_name[delivered.message.node]
    assert isinstance(total, Sum) and set(total.inputs) == {Port("A *", -1), Port("sum for A")}


def test_bad_edits_are_refused(refusal):
    q, (x, *_), objective = chain()
    graph = q.graph()

    def refused(kind=GrammarError, **edits) -> str:
        return refusal(kind, lambda: Grammar("g", graph, chain_rule(q, objective, **edits), objective))

    def wrong(sent):
        return torch.zeros(3)

    assert "wrong" in (text := refused(edit=wrong)) and "a Tensor" in text and "'Loss'" in text
    assert "a Tensor" in refused(delivery=wrong)
    assert "'Aa'" in (text := refused(edit=cut_into("Aa"))) and "'A', 'B'" in text
    assert "Nature" in (text := refused(delivery=freeze_at(x))) and "a player" in text
    early = refused(edit=lambda upstream: upstream.arrived[x])
    assert "at Nature.sample" in early and "['Loss']" in early
    narrow = refused(ShapeError, edit=lambda upstream: upstream.response.map(torch.sum, upstream.message, dim=1))
    assert "float64[batch, 3]" in narrow and "float64[batch]" in narrow


def test_the_gradient_at_a_node_is_asked_of_one_output(refusal):
    q = QueryDraft()
    x, _ = q.oracle("Nature", samples(4, (3,), (3,)))()
    left, right = q.player("Fork", Fork, 3, 3)(q.player("A", TanhLayer, 3, 3)(x))
    objective = minimise(q.loss("Loss", mean_gap)(left, right))

    def through(upstream):
        asked = upstream.cotangent if upstream.source.owner == "Fork" else upstream.message
        return upstream.response.map(torch.clone, asked)

    assert "2 arrived" in refusal(GrammarError, lambda: chain_rule(q, objective, edit=through))
    named = chain_rule(q, objective, edit=lambda up: up.arrived[right] if up.source.owner == "Fork" else up.message)
    assert named.by_name["A *"].inputs == (Port("Loss *", 1),)
