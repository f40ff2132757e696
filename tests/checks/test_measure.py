"""Each kind of promise: kept where it is true, broken where it is not, and then the right player is named."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from antiphon.agents.specification import AgentSpecification
from antiphon.checks.instance import Instance
from antiphon.checks.measure import measure
from antiphon.checks.measured import Measured
from antiphon.checks.mutants import flipped, silenced, through, wrong_gate
from antiphon.checks.suite import Learning
from antiphon.envs import arrays
from antiphon.grammars import (
    UNKNOWN,
    Arrives,
    Box,
    Descent,
    Estimated,
    Exact,
    Factory,
    Grammar,
    Guarantee,
    Insulated,
    Learned,
    OracleDeclaration,
    PlayerLoss,
    Port,
    Promise,
    QueryDraft,
    Question,
    SignCorrect,
    Surrogate,
    chain_rule,
    cut_into,
    minimise,
    promised,
)
from antiphon.grammars.maps import scale
from antiphon.grammars.random_grammars import TanhLayer, batch_of, mean_gap, mean_softplus, samples
from antiphon.grammars.response import PARAMETERS
from antiphon.oracles import gaussian

NO_PROMISE = Guarantee()
LEARNING = Learning(300, AgentSpecification.of("SGD", {"lr": 0.2}))


def layers(guarantee: Guarantee = NO_PROMISE) -> Grammar:
    """A, B, C in a row, against targets."""
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(5, (3,), (2,)))()
    a = q.player("A", TanhLayer, 3, 4)(x)
    b = q.player("B", TanhLayer, 4, 3)(a)
    objective = minimise(q.loss("Loss", mean_gap)(q.player("C", TanhLayer, 3, 2)(b), y))
    return Grammar("layers", q.graph(), chain_rule(q, objective), objective, guarantee)


class Mean(nn.Module):
    """One vector, played for every example."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(width, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.mean.expand_as(x)


def data() -> Tensor:
    return torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 2


def constant(guarantee: Guarantee = NO_PROMISE, off: float = 0.0) -> Grammar:
    """A player that learns the mean of all of its data. off: what is added to its play before it is compared."""
    q = QueryDraft()
    x = q.oracle("Nature", arrays(data(), batch=8, shuffle=False))()
    played = q.operator("shift", add_constant, off)(q.player("Mean", Mean, 3)(x))
    objective = minimise(q.loss("Loss", mean_gap)(played, x))
    return Grammar("constant", q.graph(), chain_rule(q, objective), objective, guarantee)


def add_constant(value: Tensor, off: float) -> Tensor:
    return value + off


def noisy(factor: float) -> Grammar:
    """A player that is told its gradient, times a number, plus noise."""
    q = QueryDraft()
    x = q.oracle("Nature", arrays(data(), batch=8, shuffle=False))()
    wind = q.oracle("Noise", gaussian((3,), batch=8, dtype=torch.float64))()
    played = q.player("Mean", Mean, 3)(x)
    objective = minimise(q.loss("Loss", mean_gap)(played, x))

    def edit(upstream):
        r = upstream.response
        return r.sum(r.map(scale, upstream.message, factor=factor), r.tap(wind), name="noise")

    return Grammar("noisy", q.graph(), chain_rule(q, objective, edit=edit), objective)


def measured(grammar: Grammar, promise: Promise, seed: int = 3, learning: Learning = LEARNING) -> dict[str, Measured]:
    return {each.player: each for each in measure(promise, Instance(grammar, seed, learning))}


def test_exact_is_kept_by_the_chain_rule():
    found = measured(layers(), Exact())
    assert list(found) == ["A", "B", "C"]
    assert all(each.kept and each.value < 1e-13 for each in found.values())


def test_exact_names_whom_a_wrong_sign_reaches_and_where():
    found = measured(flipped(layers(), Port("C *")), Exact())
    assert [name for name, each in found.items() if not each.kept] == ["A", "B"]
    assert min(found["A"].value, found["B"].value) > 0.1
    assert found["A"].operator == found["B"].operator == "mutated C *"
    assert found["A"].detail == "the input of 'mutated C *' is right, and its output is of the opposite sign"


def test_a_fault_on_the_last_step_is_told_from_one_before():
    found = measured(flipped(layers(), Port("B *", PARAMETERS)), Exact())
    assert [name for name, each in found.items() if not each.kept] == ["B"]
    assert found["B"].operator == "mutated B *.-1"


def test_a_factor_and_a_gate_are_told():
    halved = through(layers(), Port("C *"), scale, factor=0.5)
    assert measured(halved, Exact())["B"].detail.endswith("its output is 0.5 times the gradient")
    gated = through(layers(), Port("C *"), wrong_gate)
    assert measured(gated, Exact())["B"].detail.endswith("another direction than the gradient")


def test_exact_holds_of_a_loss_of_the_players_own():
    minus = PlayerLoss.of(scale, Port("Loss"), factor=-1.0)
    grammar = flipped(layers(), Port("B *"))
    assert measured(grammar, Exact(("A",), minus))["A"].kept
    assert not measured(grammar, Exact(("A",)))["A"].kept


def test_single_precision_is_widened_first():
    narrow = QueryDraft()
    x = narrow.oracle("Nature", arrays(data().float(), batch=8))()
    objective = minimise(narrow.loss("Loss", mean_softplus)(narrow.player("A", nn.Linear, 3, 4)(x)))
    grammar = Grammar("narrow", narrow.graph(), chain_rule(narrow, objective), objective)
    assert measured(grammar, Exact())["A"].value < 1e-13


def test_signs_are_counted_number_by_number():
    kept = measured(layers(), SignCorrect())
    assert [each.detail for each in kept.values()] == ["20 pairs", "15 pairs", "10 pairs"]
    found = measured(flipped(layers(), Port("B *")), SignCorrect())
    assert (found["A"].value, found["B"].value) == (20, 0)
    assert found["A"].operator == "A"
    assert found["A"].detail.startswith("20 pairs; at A, (0, 0): received ")


def test_a_player_that_no_product_tells_anything_has_no_signs():
    q = QueryDraft()
    x = q.oracle("Nature", arrays(data(), batch=8))()
    objective = minimise(q.loss("Loss", mean_gap)(q.player("Mean", Mean, 3)(x), x))
    r = chain_rule(q, objective)
    grammar = Grammar("g", q.graph(), r, objective)
    assert measured(grammar, SignCorrect())["Mean"].kept


@pytest.mark.parametrize(("factor", "kept"), [(0.1, True), (-1.0, False), (0.0, False)])
def test_descent_is_an_angle(factor: float, kept: bool):
    grammar = through(layers(), Port("B *"), scale, factor=factor)
    found = measured(grammar, Descent(degrees=89.0))
    assert found["A"].kept is kept
    assert max(found["B"].value, found["C"].value) < 1e-10
    if not kept:
        assert (found["A"].operator, round(found["A"].value)) == ("mutated B *", 180)


@pytest.mark.parametrize(("factor", "bias", "kept"), [(1.0, 0.0, True), (0.8, 0.0, False), (0.8, 0.22, True)])
def test_an_estimate_is_held_to_its_bias(factor: float, bias: float, kept: bool):
    found = measured(noisy(factor), Estimated(bias=bias, draws=500))
    assert found["Mean"].kept is kept
    assert "deviation" in found["Mean"].detail


def test_the_truth_that_nobody_knows_is_not_measured():
    for promise in (Estimated(("A",), UNKNOWN), Surrogate(), Learned(("A",))):
        (found,) = measured(layers(), promise).values()
        assert found.skipped == "the truth is not known for these modules"
        assert found.kept


def smallest(modules, values, off: float = 0.0) -> Tensor:
    """The loss that the best constant has."""
    x = values[Port("Nature.sample")]
    return (x - x.mean(0)).square().sum(1).mean() + off


def test_a_surrogate_is_not_below_what_it_bounds():
    assert measured(constant(), Surrogate(truth=Factory.of(smallest)))["all"].kept
    broken = measured(constant(), Surrogate(truth=Factory.of(smallest, off=100.0)))["all"]
    assert not broken.kept
    assert broken.operator == "Loss"


def from_mean(modules, values) -> Tensor:
    """How far the player is from the mean of the data."""
    return (modules["Mean"].mean - values[Port("Nature.sample")].mean(0)).abs().max()


def test_what_is_learned_is_held_to_the_optimum():
    promise = Learned(("Mean",), Factory.of(from_mean), tolerance=1e-6)
    assert measured(constant(), promise)["Mean"].kept
    wrong = measured(constant(off=0.5), promise)["Mean"]
    assert (wrong.kept, round(wrong.value, 6), wrong.operator) == (False, 0.5, "Mean")


def test_insulation_is_read_off_r():
    grammar = layers()
    found = measured(grammar, Insulated(("A", "C"), ("B",)))
    assert (found["A"].kept, found["C"].kept) == (False, True)
    assert (found["A"].operator, found["A"].detail) == ("B *", "the response depends on 'B *'")


def test_a_tap_may_be_allowed():
    q = QueryDraft()
    x = q.oracle("Nature", arrays(data(), batch=8, shuffle=False))()
    shown = q.player("Shown", Mean, 3)(x)
    played = q.player("Mean", Mean, 3)(shown)
    objective = minimise(q.loss("Loss", mean_gap)(played, x))
    answers = {shown: lambda r: r.tap(played)}
    r = chain_rule(q, objective, edit=cut_into("Shown"), answers=answers)
    grammar = Grammar("g", q.graph(), r, objective)
    assert not measured(grammar, Insulated(("Shown",), ("Mean",)))["Shown"].kept
    assert measured(grammar, Insulated(("Shown",), ("Mean",), taps=True))["Shown"].kept


def test_arrival_is_at_rest_and_at_the_bottom():
    found = measured(constant(promised(Arrives())), Arrives())
    assert found["Mean"].kept
    upward = flipped(constant(), Port("Loss *"))
    few = Learning(5, AgentSpecification.of("SGD", {"lr": 0.01}))
    assert not measured(upward, Arrives(), learning=few)["Mean"].kept


def test_a_player_that_rests_where_it_could_do_better_has_not_arrived():
    still = partial(measured, learning=replace(LEARNING, agents=AgentSpecification.of("SGD", {"lr": 1e-9})))
    found = still(constant(), Arrives())["Mean"]
    assert not found.kept
    assert "alone" in found.detail


def no_number(message: Tensor) -> Tensor:
    return message * float("nan")


@pytest.mark.parametrize("promise", [Exact(), SignCorrect(), Descent(), Estimated(draws=3), Arrives()])
def test_what_is_no_number_breaks_every_promise(promise: Promise):
    grammar = through(layers(), Port("B *", PARAMETERS), no_number)
    assert not measured(grammar, promise, learning=replace(LEARNING, rounds=3))["B"].kept


def no_truth(modules, values) -> Tensor:
    return torch.tensor(float("nan"))


def test_a_truth_that_is_no_number_breaks_a_surrogate():
    assert not measured(constant(), Surrogate(truth=Factory.of(no_truth)))["all"].kept


def test_right_signs_that_are_turned_or_cut_before_they_arrive_are_wrong():
    for broken in (flipped, silenced):
        found = measured(broken(layers(), Port("B *", PARAMETERS)), SignCorrect())
        assert [name for name, each in found.items() if not each.kept] == ["B"]
        assert found["B"].detail == "the response to 'B' is not what its products compute"
    assert measured(through(layers(), Port("B *", PARAMETERS), scale, factor=0.5), SignCorrect())["B"].kept


def test_silence_is_of_no_sign():
    found = measured(silenced(layers(), Port("C *")), SignCorrect())
    assert (found["B"].kept, found["B"].value, found["B"].operator) == (False, 15, "B")
    assert found["B"].detail == "15 pairs; all messages are zero, where a gradient is expected"


def test_draws_that_would_let_silence_pass_are_too_few():
    found = measured(noisy(-1.0), Estimated(draws=2, premise="at the start"))["Mean"]
    assert found.skipped.startswith("2 draws are too few: a response of zero would pass too (bias ")
    assert not measured(noisy(-1.0), Estimated(draws=20))["Mean"].kept


def zeros(value: Tensor) -> Tensor:
    return torch.relu(value * 0 - 1)


@pytest.mark.parametrize("promise", [Exact(), SignCorrect(), Descent(), Estimated(draws=3), Arrives()])
def test_where_there_is_no_gradient_nothing_is_measured(promise: Promise):
    q = QueryDraft()
    x = q.oracle("Nature", arrays(data(), batch=8, shuffle=False))()
    dead = q.operator("dead", zeros)(q.player("Mean", Mean, 3)(x))
    objective = minimise(q.loss("Loss", mean_gap)(dead, x))
    grammar = Grammar("dead", q.graph(), chain_rule(q, objective), objective)
    assert "no gradient" in measured(grammar, promise)["Mean"].skipped


def test_who_was_at_the_optimum_before_has_not_learned():
    promise = Learned(("Mean",), Factory.of(from_mean), tolerance=100.0)
    assert measured(constant(), promise)["Mean"].skipped == "the players were at the optimum before they learned"


class Slope(Mean):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        with torch.no_grad():
            self.mean.fill_(1.5)


def wave(value: Tensor) -> Tensor:
    return torch.cos(value).sum(1).mean()


@pytest.mark.parametrize("upward", [False, True])
def test_the_top_of_a_hill_is_no_arrival_although_it_has_no_gradient(upward: bool):
    q = QueryDraft()
    x = q.oracle("Nature", arrays(data(), batch=8, shuffle=False))()
    objective = minimise(q.loss("Loss", wave)(q.player("Mean", Slope, 3)(x)))
    grammar = Grammar("wave", q.graph(), chain_rule(q, objective), objective)
    played = flipped(grammar, Port("Loss *")) if upward else grammar
    assert measured(played, Arrives())["Mean"].kept is not upward


def test_the_loss_that_is_promised_to_all_is_everybodys():
    double = PlayerLoss.of(scale, Port("Loss"), factor=2.0)
    assert promised(Exact((), double)).loss_of("Mean") == double
    mine = PlayerLoss.of(scale, Port("Loss"), factor=3.0)
    assert promised(Exact((), double), Exact(("Mean",), mine)).loss_of("Mean") == mine
    unknown = constant(promised(Estimated((), UNKNOWN)))
    assert measured(unknown, Arrives())["Mean"].skipped == "its loss is not known for these modules"


@pytest.mark.parametrize("start", [0, 1, 5])
def test_a_pass_that_rests_at_first_is_looked_at_too(start: int):
    q = QueryDraft()
    player = q.player("A", TanhLayer, 3, 2)
    x, y = q.oracle("Near", samples(5, (3,), (2,)))()
    always = q.loss("Always", mean_gap)(player(x), y)
    with q.query_pass("late", every=2, start=start):
        x, y = q.oracle("Far", samples(5, (3,), (2,)))()
        played = player(x)
        late = q.loss("Late", mean_gap)(played, y)
    objective = minimise(always, late)
    grammar = Grammar("late", q.graph(), chain_rule(q, objective), objective)
    wrong = flipped(grammar, Port("Late *"))
    for promise in (Exact(), SignCorrect(), Descent(degrees=1.0)):
        assert measured(grammar, promise)["A"].kept
        assert not measured(wrong, promise)["A"].kept


def test_a_value_is_still_its_players_behind_an_operator():
    q = QueryDraft()
    x = q.oracle("Nature", arrays(data(), batch=8, shuffle=False))()
    heard, source = q.player("Heard", Mean, 3)(x), q.player("Source", Mean, 3)(x)
    copied = q.operator("copy", add_constant, 0.0)(source)
    objective = minimise(q.loss("One", mean_gap)(heard, x), q.loss("Two", mean_gap)(source, x))
    r = chain_rule(q, objective, answers={heard: lambda r: r.tap(copied)})
    grammar = Grammar("g", q.graph(), r, objective)
    assert measured(grammar, Insulated(("Heard",), ("Source",)))["Heard"].detail == "the response depends on 'tap copy'"
    assert measured(grammar, Insulated(("Heard",), ("Source",), taps=True))["Heard"].kept


class Growing:
    """A gray box that is asked for numbers too, and remembers how often it was asked for anything."""

    def __init__(self, *, seed: int) -> None:
        self.asked = 1

    def answer(self, question, inputs, round):
        self.asked += 1
        if question == "count":
            return (torch.full((4, 3), float(self.asked), dtype=torch.float64),)
        return (torch.sin(inputs[0]) * self.asked,)

    def state(self):
        return {"asked": self.asked}

    def load(self, state):
        self.asked = state["asked"]

    def report(self):
        return {}

    def close(self):
        pass


def test_a_gray_box_that_remembers_black_questions_raises_no_false_alarm():
    bend, count = Question("bend", (batch_of(2),), (batch_of(2),), Box.GRAY), Question("count", (), (batch_of(3),))
    q = QueryDraft()
    box = q.oracle("Box", OracleDeclaration(Factory.of(Growing), (bend, count), (("batch", 4),)))
    _, y = q.oracle("Nature", samples(4, (3,), (2,)))()
    objective = minimise(q.loss("Loss", mean_gap)(box.bend(q.player("A", TanhLayer, 3, 2)(box.count())), y))
    assert measured(Grammar("g", q.graph(), chain_rule(q, objective), objective), Exact())["A"].kept
