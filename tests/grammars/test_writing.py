"""ResponseDraft: writing R by hand; what nobody hears is not there in the end."""

from typing import Any

import pytest
import torch

from antiphon.errors import GrammarError
from antiphon.grammars.draft import Value
from antiphon.grammars.maps import negate
from antiphon.grammars.query import Port
from antiphon.grammars.random_grammars import TanhLayer, mean_gap
from antiphon.grammars.response import Deliver, Product, Seed
from antiphon.grammars.writing import ResponseDraft


def written(begun) -> tuple[ResponseDraft, Value, Value]:
    q, x, y = begun
    a = q.player("A", TanhLayer, 3, 2)(x)
    loss = q.loss("Loss", mean_gap)(a, y)
    return ResponseDraft(q.graph()), a, loss


def test_only_what_leads_to_a_delivery_is_kept(begun):
    r, a, loss = written(begun)
    above = r.product(loss, r.seed(loss))
    r.map(negate, r.tap(a))
    r.deliver("A", r.product(a, above.toward(0)).parameters)
    assert r.graph().nodes == (
        Seed("d Loss", Port("Loss")),
        Product("Loss *", "Loss", (Port("d Loss"),), (0,), False),
        Product("A *", "A", (Port("Loss *"),), (), True),
        Deliver("A", Port("A *", -1)),
    )


def test_what_waits_for_no_product_comes_before_all_products(begun):
    r, a, loss = written(begun)
    whole = r.product(loss, r.seed(loss)).toward()
    tapped = r.map(negate, r.tap(a))
    r.deliver("A", r.product(a, r.sum(r.map(negate, whole), tapped)).parameters)
    assert [node.name for node in r.graph().nodes] == [
        *("tap A", "negate"),
        *("d Loss", "Loss *", "negate#2", "sum", "A *", "deliver A"),
    ]


def test_a_draft_can_go_on_after_it_was_frozen(begun):
    r, a, loss = written(begun)
    own = r.product(a, r.product(loss, r.seed(loss)).toward()).parameters
    assert r.graph().nodes == ()
    r.deliver("A", own)
    assert len(r.graph().nodes) == 4


def test_names_are_made_unique(begun):
    r, _, loss = written(begun)
    names = [r.seed(loss, weight).port.node for weight in (1.0, 2.0, 3.0)]
    assert names == ["d Loss", "d Loss#2", "d Loss#3"]


def test_messages_of_another_draft_are_refused(begun, refusal):
    r, a, loss = written(begun)
    other = ResponseDraft(r.query)
    r.deliver("A", other.product(a, other.product(loss, other.seed(loss)).toward()).parameters)
    assert refusal(GrammarError, r.graph) == (
        "response node 'deliver A' takes 'A *.parameters', which no node of this Response graph "
        "sends; expected one of ['deliver A']. Add the node, or connect another message."
    )


def test_what_is_no_value_is_refused(begun, refusal):
    r, _, _ = written(begun)
    stranger: Any = torch.zeros(2)
    assert refusal(GrammarError, lambda: r.tap(stranger)) == (
        "a Response graph was given tensor([0., 0.]), a Tensor; expected a value of the Query graph. "
        "Pass what a node of the Query draft returned."
    )


def test_a_node_of_another_graph_is_adopted_under_a_free_name(begun):
    r, _, loss = written(begun)
    r.seed(loss)
    seed = r.adopt(Seed("d Loss", Port("Loss")))[Port("d Loss")]
    assert seed.port == Port("d Loss#2")
    told = r.adopt(Product("A *", "A", (seed.port,), (0,), True))
    assert {port: message.port for port, message in told.items()} == {
        Port("A *"): Port("A *"),
        Port("A *", -1): Port("A *", -1),
    }
    assert r.adopt(Deliver("A", Port("A *", -1)))
    assert [node.name for node in r.graph().nodes] == ["d Loss#2", "A *", "deliver A"]


def test_what_is_no_message_is_refused_by_name(begun, refusal):
    r, a, loss = written(begun)
    product = r.product(loss, r.seed(loss))
    wrong: Any
    for wrong in (a, product, 1.0, torch.zeros(2), "A"):
        for act in (lambda: r.product(a, wrong), lambda: r.map(negate, wrong), lambda: r.deliver("A", wrong)):  # noqa: B023
            text = refusal(GrammarError, act)
            assert type(wrong).__name__ in text and "expected" in text and "toward" in text


def test_a_delivery_to_nobody_is_refused_where_it_is_written(begun):
    r, a, loss = written(begun)
    with pytest.raises(GrammarError, match=r"delivered to 'a'.*\['A'\]"):
        r.deliver("a", r.product(a, r.product(loss, r.seed(loss)).toward()).parameters)
