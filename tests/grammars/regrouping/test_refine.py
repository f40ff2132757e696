"""Refining: other players, the same numbers; R follows Q, and edits outside of the player stay."""

import pickle
from dataclasses import replace

import pytest
import torch
from torch import nn

from antiphon.errors import GrammarError, ShapeError
from antiphon.grammars.brick import ENTRANCE, Brick, BrickNode
from antiphon.grammars.chain_rule import chain_rule, negate_into
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import exact
from antiphon.grammars.maps import scale
from antiphon.grammars.objective import minimise
from antiphon.grammars.query import Kind, Port
from antiphon.grammars.random_grammars import Fork, TanhLayer, mean_gap, samples
from antiphon.grammars.regrouping import Child, Regrouping, Span, children, coarsen, refine, units
from antiphon.grammars.response import PARAMETERS, Deliver, Map, ResponseGraph


class Network(nn.Sequential):
    """Two layers and a last operator, 3 -> 3."""

    def __init__(self) -> None:
        super().__init__(TanhLayer(3, 4), nn.Linear(4, 3, dtype=torch.float64), nn.Tanh())


def game(made: type[nn.Module] = Network, edit=()) -> Grammar:
    """Net is asked twice, and cloned."""
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(4, (3,), (3,)))()
    net = q.player("Net", made)
    once = net(x)
    target = q.clone("Net~", net, soft=0.5)(y)
    objective = minimise(q.loss("Loss", mean_gap)(net(once), target))
    return Grammar("game", q.graph(), chain_rule(q, objective, edit=edit), objective, exact("Net"))


def lines(graph) -> list[str]:
    return [line.strip() for line in repr(graph).splitlines()[1:]]


def test_a_network_becomes_its_layers():
    refined = refine(game(), "Net")
    assert [line.split(" -> ")[0] for line in lines(refined.grammar.query)[1:]] == [
        "Net.0 = player Net.0 (Nature.sample)",
        "Net.1 = player Net.1 (Net.0)",
        "Net.2 = torch.nn.modules.activation:Tanh() (Net.1)",
        "Net~.0 = clone Net~.0 (Nature.sample.1)",
        "Net~.1 = clone Net~.1 (Net~.0)",
        "Net~.2 = torch.nn.modules.activation:Tanh() (Net~.1)",
        "Net.0#2 = player Net.0 (Net.2)",
        "Net.1#2 = player Net.1 (Net.0#2)",
        "Net.2#2 = torch.nn.modules.activation:Tanh() (Net.1#2)",
        "Loss = antiphon.grammars.random_grammars:mean_gap() (Net.2#2, Net~.2)",
    ]
    assert [(each.name, each.player, each.soft) for each in refined.grammar.query.clones] == [
        ("Net~.0", "Net.0", 0.5),
        ("Net~.1", "Net.1", 0.5),
    ]
    assert refined.grammar.guarantee == exact("Net.0", "Net.1")


def test_r_is_what_the_chain_rule_would_say_of_the_refined_q():
    before = game()
    after = refine(before, "Net").grammar
    assert set(lines(after.response)) == set(lines(chain_rule(after.query, before.objective)))


def test_an_edit_outside_stays_where_it_is():
    minus = [node for node in game(edit=negate_into("Net")).response.nodes if node.name.startswith("minus")]
    after = refine(game(edit=negate_into("Net")), "Net").grammar.response
    found = [node for node in after.nodes if node.name.startswith("minus")]
    assert [node.name for node in found] == [node.name for node in minus]
    assert "minus, into Net#2 = antiphon.grammars.maps:negate() (Net.0#2 *)" in lines(after)
    assert "Net.2 * = Net.2 * (minus, into Net#2) -> input 0" in lines(after)


def test_the_correspondence_says_who_plays_what():
    assert repr(refine(game(), "Net")).splitlines() == [
        "game, regrouped from game:",
        "  Net.0 = Net[0:16]",
        "  Net.1 = Net[16:31]",
        "  Net~.0 = Net~[0:16]",
        "  Net~.1 = Net~[16:31]",
    ]


def test_a_layer_becomes_its_units():
    refined = refine(refine(game(), "Net"), "Net.1", into=units)
    assert refined.grammar.query.players_in("Net.1") == ("Net.1.unit0", "Net.1.unit1", "Net.1.unit2")
    assert dict(refined.spans)["Net.1.unit1"] == (Span("Net", 20, 24), Span("Net", 29, 30))
    nodes = lines(refined.grammar.query)
    assert "Net.1.unit1 = player Net.1.unit1 (Net.0) -> float64[batch, 1]" in nodes
    joined = "(Net.1.unit0, Net.1.unit1, Net.1.unit2) -> float64[batch, 3]"
    assert f"Net.1.join = antiphon.grammars.regrouping.parts:join() {joined}" in nodes


def test_units_of_a_rectifying_layer_have_a_function_each():
    refined = refine(refine(game(), "Net"), "Net.0", into=units).grammar
    unit = refined.query.player_by_name["Net.0.unit3"].factory()
    assert repr(unit).splitlines()[1:3] == [
        "  (0): Linear(in_features=3, out_features=1, bias=True)",
        "  (1): Tanh()",
    ]


def test_parts_begin_with_the_numbers_of_the_whole():
    refined = refine(refine(game(), "Net"), "Net.0", into=units).grammar
    assert {player.seeded_as for player in refined.query.players} == {"Net"}
    torch.manual_seed(5)
    whole = Network()
    torch.manual_seed(5)
    unit = refined.query.player_by_name["Net.0.unit2"].factory()
    assert next(unit.parameters()).equal(next(whole.parameters())[2:3])


def edited_on_the_way_to_the_player(operation, **keywords) -> Grammar:
    """What Net hears in all goes through one more map."""
    plain = game()
    *rest, last = plain.response.nodes
    assert isinstance(last, Deliver)
    more = Map("more", Factory.of(operation, **keywords), (last.message,))
    return replace(plain, response=ResponseGraph((*rest, more, replace(last, message=Port("more")))))


def clipped(message, largest: float):
    """At most so long: no function of each number by itself."""
    return message * (largest / message.norm()).clamp(max=1.0)


def test_a_map_of_each_number_is_told_to_each_part():
    response = refine(edited_on_the_way_to_the_player(scale, factor=0.5), "Net").grammar.response
    assert "more.1 = antiphon.grammars.maps:scale(factor=0.5) (sum for Net.1)" in lines(response)
    assert "Net.1 receives more.1" in lines(response)


def test_any_other_map_hears_the_whole_vector():
    response = refine(edited_on_the_way_to_the_player(clipped, largest=0.1), "Net").grammar.response
    names = [line.split(" = ")[0] for line in lines(response)]
    assert names[-6:-2] == ["sum for Net, assembled", "more", "more, for Net.0", "more, for Net.1"]
    assert lines(response)[-2:] == ["Net.0 receives more, for Net.0", "Net.1 receives more, for Net.1"]


def by_hand(whole: Factory) -> Brick:
    """A fork as its two layers, which its own forward hides."""
    parts = (
        BrickNode("left", Kind.PLAYER, "left", Factory.of(Child, whole, "left"), (Port(ENTRANCE),)),
        BrickNode("sine", Kind.OPERATOR, "sine", Factory.of(torch.sin), (Port("left"),)),
        BrickNode("right", Kind.PLAYER, "right", Factory.of(Child, whole, "right"), (Port(ENTRANCE),)),
        BrickNode("bend", Kind.OPERATOR, "bend", Factory.of(torch.tanh), (Port("right"),)),
    )
    return Brick(parts, (Port("sine"), Port("bend")))


def forked() -> Grammar:
    q = QueryDraft()
    x, _ = q.oracle("Nature", samples(4, (3,), (3,)))()
    objective = minimise(q.loss("Loss", mean_gap)(*q.player("Net", Fork, 3, 3)(x)))
    return Grammar("forked", q.graph(), chain_rule(q, objective), objective)


def test_any_module_can_be_taken_apart_by_hand():
    refined = refine(forked(), "Net", into=by_hand)
    assert repr(refined).splitlines()[1:] == ["  Net.left = Net[0:12]", "  Net.right = Net[12:24]"]


def test_a_module_with_a_forward_of_its_own_is_refused(refusal):
    assert refusal(GrammarError, lambda: refine(forked(), "Net")) == (
        "antiphon.grammars.random_grammars:Fork(3, 3) is no chain of modules: Fork has a forward, hooks or parameters "
        "of its own, or its links share some; expected nn.Sequential, or a class of one that adds nothing. "
        "Write down what it computes as a Brick of "
        "`Factory.of(Child, whole, path)` and of operators, and pass `into=lambda whole: brick`."
    )


def hooked_chain() -> nn.Module:
    chain = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    chain.register_forward_hook(lambda _, x, y: y.sin())
    return chain


def tied_chain() -> nn.Module:
    chain = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    chain[1].weight = chain[0].weight
    return chain


def chain_with_more() -> nn.Module:
    chain = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    chain.register_parameter("scale", nn.Parameter(torch.ones(3)))
    return chain


def replaced_layer() -> nn.Module:
    layer = nn.Linear(4, 3)
    layer.forward = lambda input: nn.functional.linear(input, layer.weight, layer.bias).sin()
    return layer


def layer_with_a_hook_on_its_weight() -> nn.Module:
    layer = nn.Linear(4, 3)
    layer.weight.register_hook(torch.zeros_like)
    return layer


@pytest.mark.parametrize("make", [hooked_chain, tied_chain, chain_with_more, replaced_layer])
def test_what_plays_more_than_its_parts_is_not_taken_apart(make):
    with pytest.raises(GrammarError):
        children(Factory.of(make))


@pytest.mark.parametrize("make", [replaced_layer, layer_with_a_hook_on_its_weight])
def test_a_layer_that_plays_more_than_its_units_is_not_taken_apart(make):
    with pytest.raises(GrammarError):
        units(Factory.of(make))


def test_a_network_is_no_layer_of_units(refusal):
    text = refusal(GrammarError, lambda: refine(game(), "Net", into=units))
    assert text.endswith(
        "Network() is no layer of units: expected nn.Linear, alone or before elementwise functions in a chain, "
        "without hooks or parametrizations; found TanhLayer, Linear, Tanh. "
        "Refine it into its children first, or leave it whole."
    )


def test_somebody_who_is_no_player_is_refused(refusal):
    assert refusal(GrammarError, lambda: refine(game(), "Nature")) == (
        "'Nature' is no player of grammar 'game' that could be refined; expected one of ['Net']. Name one of these."
    )


def test_a_brick_that_plays_otherwise_is_refused(refusal):
    swapped = lambda whole: replace(by_hand(whole), outputs=(Port("bend"),))  # noqa: E731
    assert refusal(ShapeError, lambda: refine(forked(), "Net", into=swapped)) == (
        "the parts of 'Net' play float64[batch, 3] at node 'Net', where the whole plays float64[batch, 3], "
        "float64[batch, 3]; expected the same. Give the brick the outputs of the whole."
    )


@pytest.mark.parametrize(
    ("path", "what"),
    [("left", "12 are played by several parts and 12 by none"), ("", "12 are played by several parts and 0 by none")],
)
def test_parts_that_share_or_leave_out_are_refused(path, what, refusal):
    def wrongly(whole: Factory) -> Brick:
        brick = by_hand(whole)
        other = replace(brick.parts[2], factory=Factory.of(Child, whole, path), inputs=(Port(ENTRANCE),))
        rest = (
            brick.parts[3] if path else replace(brick.parts[3], factory=Factory.of(second), inputs=(Port("right", 1),))
        )
        return replace(brick, parts=(*brick.parts[:2], other, rest))

    assert refusal(GrammarError, lambda: refine(forked(), "Net", into=wrongly)) == (
        f"player 'Net' of antiphon.grammars.random_grammars:Fork(3, 3) has 24 parameters, of which {what}; expected "
        "each of them in one of ['Net.left', 'Net.right']. "
        "Let the parts share nothing and leave nothing out, or leave the player whole."
    )


def second(value):
    return value.tanh()


def test_a_part_that_takes_nothing_of_the_whole_is_refused(refusal):
    def foreign(whole: Factory) -> Brick:
        brick = by_hand(whole)
        return replace(brick, parts=(replace(brick.parts[0], factory=Factory.of(TanhLayer, 3, 3)), *brick.parts[1:]))

    assert refusal(GrammarError, lambda: refine(forked(), "Net", into=foreign)) == (
        "part 'Net.left' is made by antiphon.grammars.random_grammars:TanhLayer(3, 3), which takes nothing of player "
        "'Net'; expected a factory whose first argument is antiphon.grammars.random_grammars:Fork(3, 3). "
        "Take the part from the whole, as `Child` and `Unit` do."
    )


class Frozen(nn.Sequential):
    """Its first layer does not learn."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(3, 3, dtype=torch.float64).requires_grad_(False), TanhLayer(3, 3))


def test_frozen_numbers_are_left_to_nobody(refusal):
    text = refusal(GrammarError, lambda: refine(game(Frozen), "Net"))
    assert text.endswith(
        "Frozen(), a Linear, holds numbers that no player would have; expected parameters to learn, or no numbers at "
        "all. Leave the player whole, or let its parameters be learned."
    )


class Twice(nn.Sequential):
    """One layer, twice."""

    def __init__(self) -> None:
        layer = nn.Linear(3, 3, dtype=torch.float64)
        super().__init__(layer, nn.Tanh(), layer)


def test_a_child_that_stands_twice_is_one_player_asked_twice():
    after = refine(game(Twice), "Net").grammar
    assert [player.name for player in after.query.players] == ["Net.0"]
    asked = [node.name for node in after.query.nodes if node.kind is Kind.PLAYER]
    assert asked == ["Net.0", "Net.0#2", "Net.0#3", "Net.0#4"]
    assert len(after.response.by_name["sum for Net.0"].inputs) == 2
    assert all(port.index != PARAMETERS for port in after.response.by_name["sum for Net.0"].inputs)


def test_what_was_regrouped_goes_to_other_processes():
    fine = refine(refine(game(), "Net"), "Net.0", into=units)
    coarse = coarsen(fine.grammar, ["Net.0.unit0", "Net.0.unit1"], "Two")
    for grammar in (fine.grammar, coarse.grammar):
        assert pickle.loads(pickle.dumps(grammar)).signature == grammar.signature


def test_a_part_is_signed_with_the_seed_that_it_begins_from():
    fine = refine(game(), "Net").grammar
    players = tuple(replace(player, part_of="") for player in fine.query.players)
    assert replace(fine, query=replace(fine.query, players=players)).signature != fine.signature


def test_spans_that_leave_something_out_are_refused(refusal):
    fine = refine(game(), "Net")
    short = (("Net.0", (Span("Net", 0, 15),)), *fine.spans[1:])
    assert refusal(GrammarError, lambda: replace(fine, spans=short)) == (
        "player 'Net.0' of grammar 'game' has 16 parameters, of which a regrouping of 'game' covers 15; "
        "expected each to be covered once. Correct the spans."
    )


def test_nothing_is_a_regrouping_too():
    none = Regrouping.none(game())
    assert none.spans == (("Net", (Span("Net", 0, 31),)), ("Net~", (Span("Net~", 0, 31),)))
    assert none.then(none) == none == none.back
