"""A brick: several players that stand in a Query graph as one."""

import pytest
import torch
from torch import nn

from antiphon.errors import GrammarError, ShapeError
from antiphon.grammars.brick import ENTRANCE, Brick, BrickNode, brick, cut_out
from antiphon.grammars.chain_rule import chain_rule, cut_into, negate_into
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.factory import Factory
from antiphon.grammars.objective import minimise
from antiphon.grammars.query import Kind, Port, Use
from antiphon.grammars.random_grammars import Fork, TanhLayer, mean_gap, samples

DENSE, SQUASH = Factory.of(TanhLayer, 3, 3), Factory.of(nn.Tanh)
TWO = brick({"One": DENSE, "Two": DENSE, "Squash": SQUASH})


def asked(q: QueryDraft) -> list[str]:
    return [repr(node).split(" -> ")[0] for node in q.graph().nodes if node.kind is not Kind.ORACLE]


def test_its_parts_are_named_after_it_and_asked_in_order(begun):
    q, x, _ = begun
    assert repr(q.player("Net", TWO)(x)) == "Net.Squash: float64[batch, 3]"
    assert asked(q) == [
        "Net.One = player Net.One (Nature.sample)",
        "Net.Two = player Net.Two (Net.One)",
        "Net.Squash = torch.nn.modules.activation:Tanh() (Net.Two)",
    ]
    assert [player.name for player in q.graph().players] == ["Net.One", "Net.Two"]


def test_what_has_parameters_is_a_player_and_anything_else_an_operator():
    layers = {"Flat": Factory.of(torch.flatten, start_dim=1), "Dense": DENSE, "Drop": Factory.of(nn.Dropout, 0.5)}
    assert [part.kind for part in brick(layers).parts] == [Kind.OPERATOR, Kind.PLAYER, Kind.OPERATOR]


def test_skips_are_sums(begun):
    q, x, _ = begun
    q.player("Net", brick({"One": DENSE, "Two": DENSE}, skips={"One": "x", "Two": "One"}))(x)
    assert asked(q) == [
        "Net.One = player Net.One (Nature.sample)",
        "Net.One + x = torch:add() (Net.One, Nature.sample)",
        "Net.Two = player Net.Two (Net.One + x)",
        "Net.Two + One = torch:add() (Net.Two, Net.One + x)",
    ]


def test_it_is_asked_twice_as_a_player_is(begun):
    q, x, _ = begun
    net = q.player("Net", TWO)
    assert net(net(x)).port == Port("Net.Squash#2")
    nodes = q.graph().nodes
    assert [node.within for node in nodes] == [(), *[(Use("Net", 1),)] * 3, *[(Use("Net", 2),)] * 3]
    assert q.graph().players_in("Net") == ("Net.One", "Net.Two")
    assert q.graph().players_in("Somebody") == ("Somebody",)


def test_its_clone_is_a_clone_of_each_player(begun):
    q, x, _ = begun
    net = q.player("Net", TWO)
    net(x)
    assert q.clone("Net~", net, soft=0.5)(x).port == Port("Net~.Squash")
    assert [(each.name, each.player, each.soft) for each in q.graph().clones] == [
        ("Net~.One", "Net.One", 0.5),
        ("Net~.Two", "Net.Two", 0.5),
    ]


def test_bricks_are_made_of_bricks(begun):
    q, x, _ = begun
    q.player("Net", brick({"Trunk": TWO, "Head": DENSE}))(x)
    assert q.graph().players_in("Net.Trunk") == ("Net.Trunk.One", "Net.Trunk.Two")
    assert q.graph().by_name["Net.Trunk.One"].within == (Use("Net", 1), Use("Net.Trunk", 1))


def told(edit, made):
    """The deliveries of a game of two players A and B, of which A is what `made` says."""
    q = QueryDraft()
    x = q.oracle("Nature", samples(4, (3,)))()
    a = q.player("A", made)
    b = q.player("B", TanhLayer, 3, 3)
    objective = minimise(q.loss("Loss", mean_gap)(b(a(a(x))), x), q.loss("Side", mean_gap)(a(x), x))
    return chain_rule(q, objective, edit=edit)


@pytest.mark.parametrize("edit", [cut_into, negate_into])
def test_an_edit_into_it_edits_what_comes_from_outside_and_nothing_else(edit):
    one, several = told(edit("A"), DENSE), told(edit("A"), TWO)
    names = [[node.name for node in graph.nodes if "minus" in node.name] for graph in (one, several)]
    assert names[0] == names[1]
    assert len(names[0]) == (3 if edit is negate_into else 0)
    hearing = {delivery.player for delivery in several.deliveries}
    assert hearing == ({"A.One", "A.Two", "B"} if edit is negate_into else {"B"})


def test_a_part_of_a_graph_can_be_cut_out(begun):
    q, x, y = begun
    seen = q.player("Eye", TanhLayer, 3, 5)(x)
    bent = q.operator("bend", nn.Tanh)(seen)
    q.player("Hand", TanhLayer, 5, 2)(bent)
    found = cut_out(q.graph(), [x.port], [Port("Hand")])
    assert found == Brick(
        (
            BrickNode("Eye", Kind.PLAYER, "Eye", Factory.of(TanhLayer, 3, 5), (Port(ENTRANCE),)),
            BrickNode("bend", Kind.OPERATOR, "bend", SQUASH, (Port("Eye"),)),
            BrickNode("Hand", Kind.PLAYER, "Hand", Factory.of(TanhLayer, 5, 2), (Port("bend"),)),
        ),
        (Port("Hand"),),
    )
    assert repr(found) == "brick(Eye, bend, Hand)"
    assert repr(cut_out(q.graph(), [seen.port], [Port("Hand")])) == "brick(bend, Hand)"
    assert y.port not in found.outputs


def test_an_oracle_is_not_cut_out(begun, refusal):
    q, x, _ = begun
    q.player("Eye", TanhLayer, 3, 5)(x)
    assert refusal(GrammarError, lambda: cut_out(q.graph(), [], [Port("Eye")])) == (
        "oracle 'Nature' lies between [] and what is to be cut out; expected players and operators only. "
        "Name its outputs among the inputs of the brick."
    )


def test_parts_out_of_order_are_refused(refusal):
    part = BrickNode("One", Kind.PLAYER, "One", DENSE, (Port("Two"),))
    assert refusal(GrammarError, lambda: Brick((part,), (Port("One"),))) == (
        "part 'One' of a brick takes Two, which no part before plays; expected an output of one of []. "
        "Order the parts by dependence, or name an input of the brick."
    )


def test_a_brick_without_players_is_refused(refusal):
    assert refusal(GrammarError, lambda: brick({"Squash": SQUASH})) == (
        "a brick of ['Squash'] has no player; expected at least one part with parameters. "
        "Draw its operators with `operator`, one by one."
    )


def test_another_number_of_inputs_is_refused(begun, refusal):
    q, x, _ = begun
    assert refusal(ShapeError, lambda: q.player("Net", TWO)(x, x)) == (
        "brick 'Net' takes 1 inputs and was given 2; expected a value for each. Pass exactly these."
    )


def test_an_output_that_is_not_there_is_refused(begun, refusal):
    q, x, _ = begun
    part = BrickNode("Fork", Kind.PLAYER, "Fork", Factory.of(Fork, 3, 2), (Port(ENTRANCE),))
    net = q.player("Net", Brick((part,), (Port("Fork", 2),)))
    assert refusal(ShapeError, lambda: net(x)) == (
        "brick 'Net' needs Fork.2, but 'Fork' has only 2 outputs; expected one of these. "
        "Name another output of this part."
    )


def test_an_operator_is_no_brick(begun, refusal):
    q, _, _ = begun
    parts = (
        BrickNode("A", Kind.PLAYER, "A", DENSE, (Port(ENTRANCE),)),
        BrickNode("B", Kind.OPERATOR, "B", TWO, (Port("A"),)),
    )
    assert refusal(GrammarError, lambda: q.player("Net", Brick(parts, (Port("B"),)))) == (
        "part 'B' is an operator, and was given brick(One, Two, Squash); expected a parameterless operation. "
        "Declare the part as a player: a brick stands in a player's place."
    )
