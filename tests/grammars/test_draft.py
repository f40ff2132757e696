"""QueryDraft: passing a handle draws an edge, and an error points at the line that made it."""

import operator

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from antiphon.errors import GrammarError, ShapeError
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.factory import Factory
from antiphon.grammars.query import Port
from antiphon.grammars.random_grammars import Fork, TanhLayer, batch_of, mean_gap, medium, samples
from antiphon.grammars.regrouping import children
from antiphon.grammars.writing import ResponseDraft


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(3, 3, dtype=torch.float64), nn.Parameter(torch.zeros(()))

    def forward(self, value):
        return self.one(value) * self.two


def test_a_handle_called_twice_is_one_player_asked_twice(begun):
    q, x, _ = begun
    a = q.player("A", TanhLayer, 3, 3)
    a(a(x))
    graph = q.graph()
    assert [player.name for player in graph.players] == ["A"]
    assert [node.name for node in graph.nodes] == ["Nature.sample", "A", "A#2"]
    assert graph.by_name["A#2"].inputs == (Port("A"),)


def test_several_outputs_are_several_values(begun):
    q, x, _ = begun
    left, right = q.player("A", Fork, 3, 5)(x)
    assert (left.port, left.type) == (Port("A", 0), batch_of(5))
    assert (right.port, right.type) == (Port("A", 1), batch_of(3))


def test_names_used_twice_are_refused_at_once(begun, refusal):
    q, _, _ = begun
    text = (
        "name 'Nature' is used twice; expected each player, oracle and operator of a "
        "Query graph to have a name of its own. Choose another, or reuse the handle to ask the same one again."
    )
    assert refusal(GrammarError, lambda: q.player("Nature", TanhLayer, 3, 3)) == text
    assert refusal(GrammarError, lambda: q.oracle("Nature", medium(3))) == text
    assert refusal(GrammarError, lambda: q.operator("Nature", torch.neg)) == text
    assert refusal(GrammarError, lambda: q.loss("Nature", mse_loss)) == text
    assert refusal(GrammarError, lambda: q.player("", TanhLayer, 3, 3)) == text.replace("used twice", "empty").replace(
        "Nature", ""
    )


def test_a_player_that_is_never_asked_is_refused(begun, refusal):
    q, _, _ = begun
    q.player("A", TanhLayer, 3, 3)
    assert refusal(GrammarError, q.graph) == (
        "player 'A' is declared and never asked; expected at least one use in the Query graph. "
        "Call its handle on its inputs, or remove it."
    )


def test_layers_that_do_not_compose_are_refused(begun, refusal):
    q, x, _ = begun
    second = q.player("Second", TanhLayer, 4, 3)
    assert refusal(ShapeError, lambda: second(q.player("First", TanhLayer, 3, 5)(x))) == (
        "player 'Second' cannot play antiphon.grammars.random_grammars:TanhLayer(4, 3) on float64[batch, 5] where "
        "batch = 4: mat1 and mat2 shapes cannot be multiplied (4x5 and 4x3). "
        "Expected inputs that it takes; change its sizes or what is connected to it."
    )


def test_oracle_inputs_are_held_to_their_declaration(begun, refusal):
    q, x, y = begun
    bend = q.oracle("Medium", medium(3))
    assert refusal(ShapeError, lambda: bend(y)) == (
        "oracle 'Medium', question 'bend', takes float64[batch, 3] as input 0, but Nature.sample.1 plays "
        "float64[batch, 2]. Declare the same shape and dtype on both sides of this edge."
    )
    assert refusal(ShapeError, lambda: bend(x, y)) == (
        "oracle 'Medium', question 'bend', takes 1 inputs and was given 2; "
        "expected (float64[batch, 3]). Pass exactly these."
    )


def test_an_unknown_question_is_refused(begun, refusal):
    q, x, _ = begun
    assert refusal(GrammarError, lambda: q.oracle("Medium", medium(3)).brake(x)) == (
        "oracle 'Medium' has no question 'brake'; expected one of ['bend']. Ask one of these."
    )


def test_a_player_without_parameters_is_refused(begun, refusal):
    q, x, _ = begun
    assert refusal(GrammarError, lambda: q.player("A", nn.Tanh)(x)) == (
        "player 'A' has no parameters to play: torch.nn.modules.activation:Tanh() makes none that require a "
        "gradient. Declare it with `operator`, or give it parameters."
    )


def test_parameters_of_several_dtypes_are_refused(begun, refusal):
    q, x, _ = begun
    assert refusal(GrammarError, lambda: q.player("A", Mixed)(x)) == (
        "player 'A' has parameters of several dtypes, ['torch.float32', 'torch.float64']; expected one, "
        "since its response is one vector. Split it into a player per dtype."
    )


def test_an_operator_with_parameters_is_refused(begun, refusal):
    q, x, _ = begun
    assert refusal(GrammarError, lambda: q.operator("op", TanhLayer, 3, 3)(x)) == (
        "operator 'op' has parameters of its own ('0.weight'); "
        "expected a parameterless operator. Declare it as a player, so that its parameters can be learned."
    )


def test_a_loss_that_is_no_scalar_is_refused(begun, refusal):
    q, x, _ = begun
    assert refusal(ShapeError, lambda: q.loss("Loss", mse_loss, reduction="none")(x, x)) == (
        "loss 'Loss' plays float64[batch, 3]; expected one scalar of shape (). Return the mean over the batch."
    )


def test_an_operator_in_place_is_refused(begun, refusal):
    q, x, _ = begun
    assert refusal(GrammarError, lambda: q.operator("op", nn.ReLU, inplace=True)(x)) == (
        "operator 'op' changes an input in place in torch.nn.modules.activation:ReLU(inplace=True); "
        "expected it to leave its inputs alone, because others read them too. Use the operation that is not in place "
        "(ReLU() instead of ReLU(inplace=True))."
    )


def test_in_place_on_values_of_its_own_is_allowed(begun):
    q, x, _ = begun
    assert q.player("A", sequence, nn.ReLU)(x).type == batch_of(3)


def sequence(kind: type[nn.Module]) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 3, dtype=torch.float64), kind(inplace=True))


def test_a_live_module_is_refused(begun, refusal):
    q, _, _ = begun
    layer = nn.Linear(3, 3)
    assert refusal(GrammarError, lambda: q.player("A", layer)) == (
        "a grammar cannot carry Linear(in_features=3, out_features=3, bias=True): it is a live Linear object. "
        "Expected a class or function with its arguments; pass `SomeClass, argument, keyword=...` instead of an "
        "instance."
    )


def test_passes_have_a_cadence_and_what_is_outside_plays_every_round(begun):
    q, x, y = begun
    with q.query_pass("act", every=2, start=3):
        q.oracle("Medium", medium(3))
    q.loss("Loss", mean_gap)(q.player("A", TanhLayer, 3, 2)(x), y)
    graph = q.graph()
    assert graph.cadences == {"round": Cadence(), "act": Cadence(2, 3)}
    assert {node.query_pass for node in graph.nodes} == {"round"}


def test_a_value_of_a_pass_that_rests_is_refused(begun, refusal):
    q, x, _ = begun
    with q.query_pass("act", every=2):
        acted = q.player("A", TanhLayer, 3, 2)(x)  # the other way round is allowed
    q.player("B", TanhLayer, 2, 2)(acted)
    assert refusal(GrammarError, q.graph).startswith("node 'B' of pass 'round' takes A of pass 'act', which rests")


def test_a_pass_inside_a_pass_is_refused(begun, refusal):
    q, _, _ = begun

    def nest() -> None:
        with q.query_pass("act"), q.query_pass("learn"):
            pass

    assert refusal(GrammarError, nest) == (
        "pass 'learn' is opened inside pass 'act'; expected one pass at a time, since either may rest "
        "while the other plays. Close the first before."
    )


class Chain(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(3, 3, dtype=torch.float64), nn.ReLU())


def wrong_inputs(q, x, y):
    other = QueryDraft()
    theirs, _ = other.oracle("Nature", samples(4, (3,), (2,)))()
    bend = q.oracle("Medium", medium(3))
    return {
        "keyword": ((), {"value": x}),
        "value and keyword": ((x,), {"y": y}),
        "number": ((1.5,), {}),
        "tensor": ((torch.zeros(2, 3),), {}),
        "handle": ((bend,), {}),
        "tuple": (((x, y),), {}),
        "another draft's": ((theirs,), {}),
        "None": ((None,), {}),
        "module": ((nn.Linear(3, 3),), {}),
    }


@pytest.mark.parametrize(
    "kind",
    ["keyword", "value and keyword", "number", "tensor", "handle", "tuple", "another draft's", "None", "module"],
)
def test_whatever_a_handle_is_called_on_but_values_of_its_draft_is_refused_by_name(begun, kind):
    q, x, y = begun
    inputs, keywords = wrong_inputs(q, x, y)[kind]
    player, brick = q.player("A", TanhLayer, 3, 3), q.player("B", children(Factory.of(Chain)))
    handles = {
        "'A'": player,
        "'A~'": q.clone("A~", player),
        "'B'": brick,
        "'Neg'": q.operator("Neg", torch.neg),
        "'Loss'": q.loss("Loss", mean_gap),
        "'Other'": q.oracle("Other", medium(3)),
        "'bend'": q.oracle("Third", medium(3)).bend,
    }
    for name, handle in handles.items():
        with pytest.raises(GrammarError) as caught:
            handle(*inputs, **keywords)
        text = str(caught.value)
        assert name in text and "expected" in text and text.endswith(".")
    assert [node.name for node in q._nodes] == ["Nature.sample"]  # nothing was drawn


COMPUTED = [operator.neg, lambda x: x * 2, lambda x: 1 - x, lambda x: x @ x, lambda x: x[0], torch.relu]


@pytest.mark.parametrize("computed", COMPUTED)
def test_who_computes_with_a_value_or_a_message_is_told_to_write_a_node(begun, computed):
    q, x, y = begun
    loss = q.loss("Loss", mean_gap)(q.player("A", TanhLayer, 3, 2)(x), y)
    with pytest.raises(GrammarError, match="Write an operator"):
        computed(x)
    with pytest.raises(GrammarError, match="Write a map"):
        computed(ResponseDraft(q.graph()).seed(loss))
