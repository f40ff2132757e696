"""Verdicts need evidence: what is right only at the start, only in large numbers or only in one place is noticed."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from antiphon.agents.specification import AgentSpecification
from antiphon.checks.check import check_grammar
from antiphon.checks.instance import Instance
from antiphon.checks.measure import measure
from antiphon.checks.measured import Measured
from antiphon.checks.mutants import flipped
from antiphon.checks.perturbed import perturbed
from antiphon.checks.suite import Learning
from antiphon.envs import arrays
from antiphon.grammars import (
    Descent,
    Exact,
    Factory,
    Grammar,
    Guarantee,
    PlayerLoss,
    Port,
    QueryDraft,
    SignCorrect,
    Surrogate,
    chain_rule,
    exact,
    minimise,
    promised,
)
from antiphon.grammars.maps import over_batch, scale
from antiphon.grammars.random_grammars import TanhLayer, mean_gap, samples
from antiphon.grammars.response import PARAMETERS, Sum

EVERYWHERE = Exact()


def measured(grammar: Grammar, promise: Exact | Descent | SignCorrect = EVERYWHERE) -> dict[str, Measured]:
    return {each.player: each for each in measure(promise, Instance(grammar, 3, Learning(50)))}


class Zeros(nn.Linear):
    """An adapter that begins at zero."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width, dtype=torch.float64)
        with torch.no_grad():
            self.weight.zero_()
            self.bias.zero_()


class Identity(nn.Linear):
    """A layer that begins as the identity, so that it equals its transpose."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width, bias=False, dtype=torch.float64)
        with torch.no_grad():
            self.weight.copy_(torch.eye(width))


def adapted(kind: type[nn.Module], forget: bool) -> Grammar:
    """k = h + Adapter(h). forget: R does not tell Eye what Adapter has to say of h."""
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(5, (3,), (4,)))()
    h = q.player("Eye", TanhLayer, 3, 4)(x)
    k = q.operator("skip", torch.add)(h, q.player("Adapter", kind, 4)(h))
    objective = minimise(q.loss("Loss", mean_gap)(k, y))

    def edit(upstream):
        return None if forget and upstream.source.owner == "Adapter" else upstream.message

    return Grammar("adapted", q.graph(), chain_rule(q, objective, edit=edit), objective, exact())


def test_a_path_that_carries_no_gradient_at_first_is_missed_at_perturbed_parameters_and_in_late_rounds():
    assert all(each.kept for each in measured(adapted(Zeros, forget=False)).values())
    found = measured(adapted(Zeros, forget=True))
    assert [name for name, each in found.items() if not each.kept] == ["Eye"]
    assert found["Eye"].operator == "Eye *"
    assert "lacks the part of 'Adapter'" in found["Eye"].detail
    assert "at perturbed parameters" in found["Eye"].detail
    wrong = Instance(adapted(Zeros, forget=True), 3, Learning(50))
    (late,) = wrong.places.late
    assert float((late.responses["Eye"] - _truth(late, "Eye")).abs().max()) > 1e-3


def _truth(round, player: str) -> Tensor:
    return torch.cat([each.reshape(-1) for each in round.composed.gradient(player)])


def test_a_transposed_weight_is_not_its_transpose_elsewhere():
    """Of an identity and its gradient alone nobody could tell."""
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(5, (3,), (4,)))()
    eye = q.player("Eye", TanhLayer, 3, 4)(x)
    objective = minimise(q.loss("Loss", mean_gap)(q.player("Hand", Identity, 4)(eye), y))

    def straight(upstream):
        # What comes back from Hand is what it was told: right as long as its weight is the identity.
        if upstream.source.owner != "Hand":
            return upstream.message
        return upstream.response.map(scale, told[0], factor=1.0, name="straight")

    told: list = []

    def keep(upstream):
        if upstream.target.owner == "Hand":
            told.append(upstream.message)
        return upstream.message

    r = chain_rule(q, objective, edit=[keep, straight])
    found = measured(Grammar("identity", q.graph(), r, objective))
    assert [name for name, each in found.items() if not each.kept] == ["Eye"]
    assert found["Eye"].operator == "Eye *"


def actor_critic(tapped: str) -> Grammar:
    """Actor climbs the slope that Deviator tells; a clone of Deviator equals it at first. tapped: which of the two."""
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(5, (3,), (2,)))()
    action = q.player("Actor", TanhLayer, 3, 2)(x)
    deviator = q.player("Deviator", TanhLayer, 3, 2)
    slopes = {"Deviator": deviator(x), "Clone": q.clone("Clone", deviator, soft=0.1)(x)}
    objective = minimise(q.loss("Loss", mean_gap)(slopes["Deviator"], y))

    def answer(r):
        return r.map(over_batch, r.tap(slopes[tapped]), factor=-1.0)

    r = chain_rule(q, objective, answers={action: answer})
    climbs = PlayerLoss.of(descended, action, slopes["Deviator"])
    return Grammar("two", q.graph(), r, objective, promised(Exact(("Deviator",)), Exact(("Actor",), climbs)))


def descended(action: Tensor, slope: Tensor) -> Tensor:
    return -(action * slope.detach()).sum(1).mean()


def test_a_clone_told_in_its_players_place_is_noticed_although_both_are_equal_at_first():
    assert not check_grammar(actor_critic("Deviator"), instances=2).failed
    report = check_grammar(actor_critic("Clone"), instances=2)
    (failure,) = [each for row in report.rows for each in row.failures]
    assert failure.player == "Actor"
    assert "at perturbed parameters" in failure.detail


def deep(count: int = 30, width: int = 4) -> Grammar:
    """Sigmoid layers, whose gradients fall to nothing from layer to layer."""
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(5, (width,), (width,)))()
    for number in range(1, count + 1):
        x = q.operator(f"s{number}", torch.sigmoid)(
            q.player(f"L{number}", nn.Linear, width, width, dtype=torch.float64)(x)
        )
    objective = minimise(q.loss("Loss", mean_gap)(x, y))
    return Grammar("deep", q.graph(), chain_rule(q, objective), objective, exact())


def test_a_small_gradient_of_the_wrong_sign_is_wrong():
    assert all(each.kept for each in measured(deep()).values())
    found = measured(flipped(deep(), Port("s12 *")))
    assert {name for name, each in found.items() if not each.kept} == {f"L{number}" for number in range(1, 13)}
    assert {each.operator for each in found.values() if not each.kept} == {"mutated s12 *"}


def shared() -> Grammar:
    """A player that is used twice, one behind the other."""
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(5, (3,), (3,)))()
    both = q.player("Both", TanhLayer, 3, 3)
    objective = minimise(q.loss("Loss", mean_gap)(both(both(x)), y))
    return Grammar("shared", q.graph(), chain_rule(q, objective), objective, exact())


@pytest.mark.parametrize("use", ["Both *", "Both#2 *"])
def test_a_shared_player_is_blamed_at_the_use_that_is_wrong(use: str):
    found = measured(flipped(shared(), Port(use, PARAMETERS)))
    assert found["Both"].operator == f"mutated {Port(use, PARAMETERS)!r}"


def test_a_use_that_nobody_tells_of_is_named():
    grammar = shared()
    (first,) = [node.name for node in grammar.response.nodes if node.name == "Both *"]
    nodes = [node for node in grammar.response.nodes if not isinstance(node, Sum)]
    nodes = tuple(
        replace(node, message=Port(first, PARAMETERS)) if node.name == "deliver Both" else node for node in nodes
    )
    found = measured(replace(grammar, response=replace(grammar.response, nodes=nodes)))["Both"]
    assert "lacks the part of 'Both#2'" in found.detail


@pytest.mark.parametrize("forget", [False, True])
def test_a_round_in_which_a_player_is_told_nothing_counts_too(forget: bool):
    q = QueryDraft()
    player, objective = q.player("A", TanhLayer, 3, 2), []
    for number, name in enumerate(("Even", "Odd")):
        with q.query_pass(name.lower(), every=2, start=number):
            x, y = q.oracle(f"Nature{number}", samples(5, (3,), (2,)))()
            objective.append(q.loss(name, mean_gap)(player(x), y))

    def edit(upstream):
        return None if forget and upstream.source.name == "Odd" else upstream.message

    r = chain_rule(q, minimise(*objective), edit=edit)
    found = measured(Grammar("passes", q.graph(), r, minimise(*objective)))["A"]
    assert found.kept is not forget
    if forget:
        assert found.operator == "deliver A"


def cancelling(message: Tensor) -> Tensor:
    """What a constant added to all logits changes: nothing."""
    return torch.log_softmax(message.sum(1, keepdim=True) + torch.zeros(1, 3, dtype=message.dtype), 1)


def idle() -> Grammar:
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(5, (3,), (3,)))()
    flat = q.operator("flat", cancelling)(q.player("Idle", TanhLayer, 3, 2)(x))
    objective = minimise(q.loss("Loss", mean_gap)(flat, y))
    return Grammar("idle", q.graph(), chain_rule(q, objective), objective, exact())


def test_a_gradient_that_cancels_to_rounding_is_not_measured():
    """Any response of that size would do, so none is evidence."""
    found = measured(idle())["Idle"]
    assert found.kept
    assert "its gradient " in found.skipped


def test_players_to_whom_nothing_is_promised_are_named():
    half = replace(shared_and_other(), guarantee=promised(Exact(("A",)), Surrogate()))
    report = check_grammar(half, instances=1)
    assert [(row.players, row.verdict) for row in report.rows] == [
        ("A", "kept"),
        ("all", "not measured"),
        ("B", "nothing promised"),
    ]
    assert "nothing promised to B" in report.summary
    assert not report.failed


def shared_and_other() -> Grammar:
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(5, (3,), (2,)))()
    objective = minimise(q.loss("Loss", mean_gap)(q.player("B", TanhLayer, 3, 2)(q.player("A", TanhLayer, 3, 3)(x)), y))
    return Grammar("two", q.graph(), chain_rule(q, objective), objective, Guarantee())


class Kept(nn.Module):
    """Buffers of every sort."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2, dtype=torch.float64)
        self.norm = nn.BatchNorm1d(2, dtype=torch.float64)
        self.register_buffer("mask", torch.tensor([1.0, 0.0], dtype=torch.float64))
        self.register_buffer("seen", torch.tensor([True, False]))

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(x)) * self.mask


def test_perturbed_states_are_independent_and_valid():
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(5, (3,), (2,)))()
    player = q.player("A", Kept)
    clone = q.clone("Clone", player)(x)
    q.operator("unused", torch.add)(clone, clone)
    objective = minimise(q.loss("Loss", mean_gap)(player(x), y))
    grammar = Grammar("kept", q.graph(), chain_rule(q, objective), objective, exact())
    before = Instance(grammar, 0, Learning(5)).places.rounds()[0].before
    after = perturbed(grammar, before, 0)
    state, copy = after["A"], after["Clone"]["parameters"]
    assert float((state["buffers"]["norm.running_var"]).min()) > 0
    assert not torch.equal(state["buffers"]["norm.running_mean"], before["A"]["buffers"]["norm.running_mean"])
    for name in ("mask", "seen", "norm.num_batches_tracked"):
        assert torch.equal(state["buffers"][name], before["A"]["buffers"][name])
    for name, value in state["parameters"].items():
        assert not torch.equal(value, before["A"]["parameters"][name])
        assert not torch.equal(value, copy[name])
    again = perturbed(grammar, before, 0)
    assert all(torch.equal(one, again["A"]["parameters"][name]) for name, one in state["parameters"].items())
    assert all(each.kept for each in measured(grammar).values())


def fragile(value: Tensor) -> Tensor:
    if float(value.abs().max()) > 1e-9:
        raise ValueError("only zeros are welcome")
    return value


def test_a_place_where_nothing_can_be_played_is_said():
    q = QueryDraft()
    x, y = q.oracle(
        "Nature", arrays(torch.zeros(4, 3, dtype=torch.float64), torch.ones(4, 3, dtype=torch.float64), batch=4)
    )()
    only = q.operator("only", fragile)(q.player("A", Zeros, 3)(x))
    objective = minimise(q.loss("Loss", mean_gap)(only, y))
    grammar = Grammar("fragile", q.graph(), chain_rule(q, objective), objective, exact())
    still = Learning(5, AgentSpecification.of("SGD", {"lr": 0.1}))
    (found,) = measure(Exact(), Instance(grammar, 0, still))
    assert found.kept
    assert "not measured at perturbed parameters: ValueError: only zeros are welcome" in found.detail


def always(modules, values) -> bool:
    return True


def test_a_premise_in_words_is_measured_at_the_start_and_one_that_can_be_asked_everywhere():
    late = adapted(Zeros, forget=True)
    degrees = {"degrees": 1e-3, "premise": "Adapter is zero"}
    assert measured(late, Descent(("Eye",), **degrees))["Eye"].kept
    assert not measured(late, Descent(("Eye",), **degrees, holds=Factory(always)))["Eye"].kept


def test_scale_is_of_each_player_alone():
    """A player's share is not judged by what others hear: a network's largest gradient says nothing of a small one."""
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(5, (3,), (2,)))()
    loud = q.loss("Loud", mean_gap)(q.player("Loud player", TanhLayer, 3, 2)(x), y)
    soft = q.loss("Soft", scale, factor=1e-9)(
        q.operator("gap", mean_gap)(q.player("Soft player", TanhLayer, 3, 2)(x), y)
    )
    objective = minimise(loud, soft)
    grammar = Grammar("two", q.graph(), chain_rule(q, objective), objective, exact())
    found = measured(flipped(grammar, Port("Soft *")))
    assert [name for name, each in found.items() if not each.kept] == ["Soft player"]
