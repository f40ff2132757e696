"""Grammar 1: layers as players, exact gradients."""

import torch
from torch import nn
from torch.nn.functional import mse_loss

from antiphon.errors import ShapeError
from antiphon.grammars.factory import Factory
from antiphon.grammars.guarantee import Category
from antiphon.grammars.library import backprop
from antiphon.grammars.query import Kind
from antiphon.grammars.random_grammars import TanhLayer, samples

DENSE = Factory.of(TanhLayer, 3, 3)


def test_what_has_parameters_is_a_player_and_the_rest_operators():
    grammar = backprop(
        samples(4, (3,), (2,)),
        {"A": DENSE, "Rest": Factory.of(nn.ReLU), "B": Factory.of(TanhLayer, 3, 2)},
        loss=Factory.of(mse_loss),
    )
    kinds = {node.name: node.kind for node in grammar.query.nodes}
    assert kinds == {
        "Nature.sample": Kind.ORACLE, "A": Kind.PLAYER, "Rest": Kind.OPERATOR, "B": Kind.PLAYER, "Loss": Kind.LOSS,
    }  # fmt: skip
    assert grammar.guarantee.categories == (Category.EXACT,)
    assert [delivery.player for delivery in grammar.response.deliveries] == ["A", "B"]


def test_skips_add_an_earlier_value():
    grammar = backprop(
        samples(4, (3,), (3,)), {"A": DENSE, "B": DENSE, "C": DENSE}, Factory.of(mse_loss), {"A": "x", "C": "A"}
    )
    nodes = grammar.query.by_name
    assert [port.node for port in nodes["A + x"].inputs] == ["A", "Nature.sample"]
    assert [port.node for port in nodes["C + A"].inputs] == ["C", "A + x"]
    assert nodes["C + A"].operator == Factory.of(torch.add)


def test_layers_that_do_not_compose_are_refused(refusal):
    text = refusal(ShapeError, lambda: backprop(samples(4, (3,), (2,)), {"A": DENSE, "B": Factory.of(TanhLayer, 4, 2)}))
    assert text.startswith(
        "player 'B' cannot play antiphon.grammars.random_grammars:TanhLayer(4, 2) on float64[batch, 3] where "
    )
