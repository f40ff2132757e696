"""ResponseGraph: written by hand, it is held to its Query graph."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from antiphon.errors import BlackBoxError, GrammarError, ShapeError
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.factory import Factory
from antiphon.grammars.oracle import OracleDeclaration, Question
from antiphon.grammars.query import Port, QueryGraph
from antiphon.grammars.random_grammars import TanhLayer, batch_of, mean_gap, samples
from antiphon.grammars.response import PARAMETERS, Deliver, Map, Product, ResponseGraph, Seed, Tap
from antiphon.grammars.types import EdgeType, Order

SEED = Seed("s", Port("Loss"))
LOSS = Product("loss", "Loss", (Port("s"),), (0,), False)
OWN = Product("own", "A", (Port("loss"),), (), True)
HEAR = Deliver("A", Port("own", PARAMETERS))


@pytest.fixture
def query() -> QueryGraph:
    """A (3 -> 2, 8 parameters) plays into a black box, which plays into B's loss; A's loss beside it."""
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(4, (3,), (2,)))()
    a = q.player("A", TanhLayer, 3, 2)(x)
    box = OracleDeclaration(Factory.of(object), (Question("weigh", (batch_of(2),), (batch_of(2),)),))
    weighed = q.oracle("Scale", box)(a)
    q.loss("Loss", mean_gap)(a, y)
    q.loss("Other", mean_gap)(weighed, y)
    q.loss("Label", cross_entropy)(a, q.operator("label", torch.argmax, dim=1)(y))
    return q.graph()


def test_what_fits_is_typed(query):
    types = ResponseGraph((SEED, LOSS, OWN, HEAR)).types(query)
    assert types == {
        Port("s"): EdgeType((), torch.float64, Order.FIRST),
        Port("loss", 0): batch_of(2).of_order(Order.FIRST),
        Port("own", PARAMETERS): EdgeType((8,), torch.float64, Order.FIRST),
    }


def test_a_tap_is_of_zeroth_order_and_so_are_maps_of_taps(query):
    nodes = (Tap("t", Port("A")), Map("m", Factory.of(torch.neg), (Port("t"),)))
    types = ResponseGraph(nodes).types(query)
    assert {types[Port("t")].order, types[Port("m")].order} == {Order.ZEROTH}
    mixed = Map("mixed", Factory.of(torch.add), (Port("t"), Port("loss")))
    assert ResponseGraph((SEED, LOSS, *nodes, mixed)).types(query)[Port("mixed")].order is Order.FIRST


def test_a_gradient_of_a_black_box_is_refused(query, refusal):
    nodes = (Seed("s", Port("Other")), Product("loss", "Other", (Port("s"),), (0,), False))
    asks = Product("through", "Scale.weigh", (Port("loss"),), (0,), False)
    assert refusal(BlackBoxError, lambda: ResponseGraph((*nodes, asks)).types(query)) == (
        "response node 'through' asks oracle 'Scale' for a gradient of its answer 'weigh'; "
        "expected a gray box, but it is a black box and answers values only. Cut this message, tap the value "
        "instead, or let a player estimate the gradient."
    )


def test_a_cotangent_of_another_shape_is_refused(query, refusal):
    wrong = Product("own", "A", (Port("s"),), (), True)
    assert refusal(ShapeError, lambda: ResponseGraph((SEED, wrong)).types(query)) == (
        "message 's' is float64[], but 'A' plays float64[batch, 2]; expected a "
        "cotangent of the shape and dtype of the output. Map it to that shape."
    )


def test_a_delivery_of_another_shape_is_refused(query, refusal):
    assert refusal(ShapeError, lambda: ResponseGraph((SEED, LOSS, Deliver("A", Port("loss")))).types(query)) == (
        "player 'A' receives 'loss' of type float64[batch, 2]; expected float64[8], one number per parameter. "
        "Deliver a product's `parameters`, or a map of that shape."
    )


def test_a_product_says_something_of_every_output(query, refusal):
    for cotangents, said in (((), 0), ((None,), 0), ((Port("s"), Port("s")), 2)):
        product = Product("own", "A", cotangents, (), True)
        assert refusal(ShapeError, lambda product=product: ResponseGraph((SEED, product)).types(query)) == (
            f"response node 'own' multiplies {said} messages at 'A', which has 1 outputs; "
            "expected a place per output and at least one message. Name None for the rest."
        )


def test_gradients_are_asked_of_inputs_that_exist_and_are_real(query, refusal):
    far = Product("loss", "Loss", (Port("s"),), (2,), False)
    assert refusal(GrammarError, lambda: ResponseGraph((SEED, far)).types(query)) == (
        "response node 'loss' asks for the gradient of input 2 of 'Loss', which has 2; expected one of [0, 1]. "
        "Ask for one of these."
    )
    whole = Product("p", "Label", (Port("s"),), (1,), False)
    assert refusal(GrammarError, lambda: ResponseGraph((Seed("s", Port("Label")), whole)).types(query)) == (
        "response node 'p' asks for the gradient of input 1 of 'Label', which is int64[batch]; "
        "expected real or complex numbers, since integers have no gradient. Do not ask for it."
    )


def test_only_players_have_parameters(query, refusal):
    product = Product("loss", "Loss", (Port("s"),), (0,), True)
    assert refusal(GrammarError, lambda: ResponseGraph((SEED, product)).types(query)) == (
        "response node 'loss' asks loss 'Loss' for a gradient of its parameters; expected a "
        "player, because only players have parameters. Ask for its inputs only."
    )


def test_only_losses_are_seeded(query, refusal):
    assert refusal(GrammarError, lambda: ResponseGraph((Seed("s", Port("A")),)).types(query)) == (
        "response node 's' seeds A, which is a player; expected a loss. Declare it with `loss`, so that it is a scalar."
    )


def test_unknown_nodes_and_players_are_refused(query, refusal):
    text = refusal(GrammarError, lambda: ResponseGraph((Tap("t", Port("B")),)).types(query))
    assert text.startswith(
        "response node 't' refers to 'B', which the Query graph does not ask; expected one of ['A', "
    )
    assert refusal(GrammarError, lambda: ResponseGraph((SEED, Deliver("B", Port("s")))).types(query)) == (
        "a message is delivered to 'B', which is no player of the Query graph; expected one of ['A']. "
        "Deliver it to one of these."
    )


def test_a_message_that_its_product_does_not_tell_is_refused(query, refusal):
    assert refusal(
        GrammarError, lambda: ResponseGraph((SEED, LOSS, Deliver("A", Port("loss", PARAMETERS)))).types(query)
    ) == (
        "response node 'deliver A' takes 'loss.parameters', which 'loss' does not send; expected one of ['loss']. "
        "Ask 'loss' for it, or connect another message."
    )


def test_a_map_tells_one_message(query, refusal):
    nodes = (SEED, LOSS, Map("m", Factory.of(torch.unbind, dim=1), (Port("loss"),)))
    assert refusal(ShapeError, lambda: ResponseGraph(nodes).types(query)) == (
        "response node 'm' sends 2 messages; expected one. Use a map for each of them."
    )
    text = refusal(
        ShapeError,
        lambda: ResponseGraph((*nodes[:2], Map("m", Factory.of(nn.Flatten, 7), (Port("loss"),)))).types(query),
    )
    assert text.startswith(
        "response node 'm' cannot play torch.nn.modules.flatten:Flatten(7) on float64[batch, 2] where "
    )


def test_cycles_and_repeated_names_are_refused(refusal):
    one, two = Map("one", Factory.of(torch.neg), (Port("two"),)), Map("two", Factory.of(torch.neg), (Port("one"),))
    assert refusal(GrammarError, lambda: ResponseGraph((one, two))) == (
        "response node 'one' takes 'two', which is computed later or depends on 'one' itself: a cycle. "
        "Expected every message to be computed before it is used; order the nodes by dependence."
    )
    assert refusal(GrammarError, lambda: ResponseGraph((SEED, SEED))) == (
        "name 's' is used twice in the Response graph; expected one node of that name, and one "
        "delivery per player. Rename one, or add the two messages before they are delivered."
    )
    assert refusal(GrammarError, lambda: ResponseGraph((HEAR,))) == (
        "response node 'deliver A' takes 'own.parameters', which no node of this Response graph "
        "sends; expected one of ['deliver A']. Add the node, or connect another message."
    )


def test_ancestors_are_read_off_the_graph():
    graph = ResponseGraph((SEED, LOSS, Tap("t", Port("A")), OWN, HEAR))
    assert graph.ancestors("deliver A") == {"deliver A", "own", "loss", "s"}


def test_a_graph_reads_as_a_list_of_messages():
    assert repr(ResponseGraph((SEED, LOSS, OWN, HEAR))) == (
        "R:\n"
        "  s = seed +1 at Loss\n"
        "  loss = Loss * (s) -> input 0\n"
        "  own = A * (loss) -> parameters\n"
        "  A receives own.parameters"
    )
