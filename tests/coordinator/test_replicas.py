"""Replicas: k of them are one player on the whole batch, bit for bit equal to each other, or refused."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.audit import audit
from antiphon.coordinator.checkpoint import load_states, read_manifest
from antiphon.coordinator.entries import play_round
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.coupling import coupling
from antiphon.coordinator.plan.placement import Placement, Precision, spread
from antiphon.coordinator.plan.replicas import divided
from antiphon.coordinator.plan.schedule import project
from antiphon.coordinator.plan.steps import Collect, Contribute, Cut, Join, Query, Respond, Transfer
from antiphon.coordinator.plan.verify import verify
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.errors import PlacementError, ProtocolError
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library import backprop
from antiphon.grammars.random_grammars import TanhLayer, mean_gap, sample_grammar, samples
from antiphon.grammars.reference import reference_gradients
from antiphon.grammars.seeds import forked
from antiphon.grammars.types import Batch, EdgeType
from rigs.games import convolutional, points, small_dac, wide, with_dropout

ROWS = EdgeType((Batch(), 4))


def assert_near(found: Mapping[str, list[Tensor]], expected: Mapping[str, list[Tensor]], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for player, gradients in expected.items():
        for one, two in zip(found[player], gradients, strict=True):
            assert (one - two).abs().max() <= tolerance * max(float(two.abs().max()), 1e-3), player


def replicated(grammar: Grammar, **counts: int) -> Placement:
    """Everyone alone on a worker, players so many times."""
    return replace(spread(grammar), replicas=tuple(counts.items()))


def divisible(grammar: Grammar, counts: Mapping[str, int]) -> dict[str, int]:
    """Of these counts, those that the grammar allows."""
    allowed = {}
    for player, count in counts.items():
        try:
            divided(grammar, replicated(grammar, **{player: count}))
        except PlacementError:
            continue
        allowed[player] = count
    return allowed


@pytest.mark.parametrize("seed", range(60))
def test_replicas_are_delivered_the_gradient_of_the_whole_batch(seed: int) -> None:
    grammar, chance = sample_grammar(seed), random.Random(seed)
    counts = divisible(grammar, {player.name: chance.randint(1, 3) for player in grammar.query.players})
    with InlineExecutor(assign(grammar, RECORDER, placement=replicated(grammar, **counts))) as executor:
        states = executor.states()
        executor.play(2)
        found = delivered(executor)
    assert_near(found, reference_gradients(grammar, states, 0, 1), 1e-9)


def test_the_random_grammars_do_have_replicas() -> None:
    counts = [
        divisible(grammar := sample_grammar(seed), dict.fromkeys((player.name for player in grammar.query.players), 2))
        for seed in range(20)
    ]
    assert sum(map(len, counts)) > 40


def test_many_rounds_stay_near_one_player_and_equal_to_each_other() -> None:
    # In float64: each processor sums in its own order, and in float32 the difference grows too large in 100 rounds.
    layers = {name: Factory.of(TanhLayer, 24, 24) for name in ("First", "Second", "Last")}
    grammar = backprop(samples(66, (24,), (24,)), layers, loss=Factory.of(mean_gap))
    agent = AgentSpecification.of("SGD", {"lr": 0.05, "momentum": 0.9})
    placement = replicated(grammar, First=2, Second=3, Last=2)
    apart, together = assign(grammar, agent, placement=placement), assign(grammar, agent)
    with InlineExecutor(apart) as several, InlineExecutor(together) as one:
        there, here = several.play(100), one.play(100)  # audited: replicas hold equal bits
        states, expected = several.states(), one.states()
    for player in ("First", "Second", "Last"):
        for name, value in expected[player]["parameters"].items():
            torch.testing.assert_close(states[player]["parameters"][name], value, rtol=1e-8, atol=1e-8)
    assert there.losses["Loss"].values == pytest.approx(here.losses["Loss"].values, rel=1e-8)
    assert there.products == here.products and there.queries == here.queries


def test_slices_go_straight_from_replica_to_replica() -> None:
    grammar = wide()
    schedule = assign(grammar, placement=replicated(grammar, First=2, Second=2, Last=2)).schedule
    verify(schedule)
    between = {(step.edge.source, step.edge.target) for step in schedule.steps if isinstance(step, Transfer)}
    assert ("First", "Second") in between and ("First#1", "Second#1") in between
    assert not {("First", "Second#1"), ("First#1", "Second")} & between
    joined = [step.worker for step in schedule.steps if isinstance(step, Join)]
    cut = [step.worker for step in schedule.steps if isinstance(step, Cut)]
    assert joined == ["Loss"]
    assert cut == ["Nature", "Nature", "Loss", "Loss"]


def test_shared_workers_share_their_slices_without_a_message() -> None:
    grammar = wide()
    placement = replace(spread(grammar, fuse=[("First", "Second", "Last")]), replicas=(("First", 2),))
    schedule = assign(grammar, placement=placement).schedule
    transfers = [step.edge for step in schedule.steps if isinstance(step, Transfer)]
    # A slice of the batch to each replica but none between their layers; what the last one plays, and its cotangent.
    assert sorted((edge.source, edge.target) for edge in transfers if "Nature" not in edge.source) == [
        ("First", "Loss"),
        ("First#1", "Loss"),
        ("Loss", "First"),
        ("Loss", "First#1"),
    ]
    sums = [step for step in schedule.steps if isinstance(step, Contribute)]
    assert len(sums) == 6 and {step.reduction.workers for step in sums} == {("First", "First#1")}


def test_sums_are_contributed_at_once_and_collected_when_all_have_responded() -> None:
    grammar = wide()
    schedule = assign(grammar, placement=replicated(grammar, First=2, Second=2)).schedule
    local = project(schedule, "Second#1")
    at = next(position for position, action in enumerate(local) if isinstance(action, Contribute))
    contribution, before = local[at], local[at - 1]
    assert isinstance(contribution, Contribute) and isinstance(before, Respond)
    assert contribution.reads[0] in before.writes
    collected = next(position for position, action in enumerate(local) if isinstance(action, Collect))
    assert at < collected
    kinds = [type(step) for step in schedule.steps]
    assert max(i for i, kind in enumerate(kinds) if kind is Contribute) < kinds.index(Collect)


def test_an_operator_that_plays_each_example_alone_is_divided_with_its_player() -> None:
    grammar = convolutional()
    assert set(divided(grammar, replicated(grammar, Conv=2, Last=2))) == {"Conv", "Pool", "Flat", "Last"}


class Centre(nn.Module):
    """Couples examples, as batch norm does, in no module that one would know by name."""

    def forward(self, value: Tensor) -> Tensor:
        return value - value.mean(dim=0)


class Keeping(nn.Linear):
    """Remembers the mean of its inputs, and counts; what it plays does not depend on them yet."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.register_buffer("mean", torch.zeros(()), persistent=False)
        self.register_buffer("count", torch.zeros(()))

    def forward(self, input: Tensor) -> Tensor:
        self.mean, self.count = input.detach().mean(), self.count + 1
        return super().forward(input) * self.count


class Centred(nn.Linear):
    """As above, in a player."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) - input.mean(dim=0) @ self.weight.T


class Normed(nn.Sequential):
    """A linear layer and batch norm."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs))


def test_an_operator_that_couples_examples_is_played_whole() -> None:
    layers = {"Mid": Factory.of(Centre), "Last": Factory.of(nn.Linear, 4, 3)}
    grammar = backprop(points(4), {"First": Factory.of(nn.Linear, 4, 4), **layers})
    placement = replicated(grammar, First=2, Last=2)
    assert set(divided(grammar, placement)) == {"First", "Last"}
    with InlineExecutor(assign(grammar, RECORDER, placement=placement)) as executor:
        states = executor.states()
        executor.play(1)
        assert_near(delivered(executor), reference_gradients(grammar, states, 0, 0), 1e-5)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (Normed, "its BatchNorm1d '1' normalises over the batch"),
        (Centred, "what it plays for one example changes with the other examples of the batch"),
        (Keeping, "what it keeps for later (buffers, extra state) depends on the examples"),
    ],
)
def test_a_player_that_couples_examples_is_refused_unless_that_is_accepted(module: type[nn.Module], text: str) -> None:
    grammar = backprop(points(4), {"First": Factory.of(module, 4, 4), "Last": Factory.of(nn.Linear, 4, 3)})
    placement = replicated(grammar, First=2)
    with pytest.raises(PlacementError) as refusal:
        assign(grammar, placement=placement)
    assert all(each in str(refusal.value) for each in ("'First'", "2 replica", text, "accept_batch_coupling"))
    with InlineExecutor(assign(grammar, placement=replace(placement, coupled=("First",)))) as executor:
        executor.play(3)


def test_what_is_tried_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    before = torch.random.get_rng_state()
    assert coupling(module, [ROWS], {"batch": 3}) == ""
    assert module[1].training and torch.equal(before, torch.random.get_rng_state())
    assert coupling(Centre(), [ROWS], {"batch": 3}) != ""
    assert coupling(nn.Linear(3, 3), [ROWS], {"batch": 3}).startswith("it could not be tried on (3, 4) and ")


class Picky(nn.Linear):
    """Positive numbers, two or four rows, and a gradient in the middle."""

    def forward(self, input: Tensor) -> Tensor:
        assert (input > 0).all() and len(input) in (2, 4)
        point = input.detach().requires_grad_()
        return torch.autograd.grad(super().forward(point).square().sum(), point, create_graph=True)[0]


def test_coupling_is_tried_at_the_declared_batch_on_values_that_are_taken() -> None:
    assert coupling(Picky(4, 3), [ROWS], {"batch": 4}) == ""


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"First": 8}, "player 'First' has 8 replicas, but 'First' cannot be divided among them: its batch has 7 rows. "
         "Expected one batch, the first dimension of its inputs and outputs, with a row for each replica. "
         "Give it fewer replicas, or a larger batch."),
        ({"Nature": 2}, "'Nature' lives on worker 'Nature', which has replicas, and is no player; expected players "
         "alone there, ['First', 'Second', 'Norm', 'Last']. Give 'Nature' a worker of its own."),
        ({"Frist": 2}, "replicas are given to 'Frist', which is no worker; expected one of ['First', 'Last', 'Loss', "
         "'Nature', 'Norm', 'Second']. Add the worker, or name one of these."),
    ],
)  # fmt: skip
def test_what_cannot_be_divided_is_refused(counts: dict[str, int], text: str) -> None:
    grammar = with_dropout()
    with pytest.raises(PlacementError, match=re.escape(text)):
        assign(grammar, placement=replicated(grammar, **counts))


class Restless:
    """An agent that moves at random: the same on every replica, since the process's global streams are."""

    def __init__(self, parameters: Sequence[Tensor], drift: bool = False) -> None:
        self._parameters, self._drift = parameters, drift

    def hear(self, response: Sequence[Tensor]) -> None: ...

    def move(self) -> Sequence[Tensor]:
        if self._drift:
            chance = random.SystemRandom().random()
            return [each + chance for each in self._parameters]
        return [each + random.random() + torch.randn_like(each) for each in self._parameters]

    def state(self) -> dict:
        return {}

    def load(self, state: dict) -> None: ...


def test_agents_that_draw_from_global_streams_move_alike_and_others_are_found_out() -> None:
    grammar = wide()
    placement = replicated(grammar, Second=2)
    restless = AgentSpecification.of(agent=f"{__name__}:Restless")
    with InlineExecutor(assign(grammar, restless, placement=placement)) as executor:
        executor.play(2)
    drifting = AgentSpecification.of(agent=f"{__name__}:Restless", arguments={"drift": True})
    with (
        InlineExecutor(assign(grammar, {"Second": drifting}, placement=placement)) as executor,
        pytest.raises(ProtocolError) as caught,
    ):
        executor.play(1)
    assert str(caught.value) == (
        "replicas 'Second' and 'Second#1' of player 'Second' hold different parameters before round 1; expected equal "
        "bits, since they received the same responses. Let its agent move by its responses alone: no clock, no random "
        "numbers but those of the process's global streams, no reading of its own place."
    )


def test_an_agent_apart_hears_the_sum_and_moves_all_replicas() -> None:
    grammar = wide()
    apart = replace(spread(grammar, agents={"Second": "far"}), replicas=(("Second", 3),))
    agent = AgentSpecification.of("SGD", {"lr": 0.1})
    with (
        InlineExecutor(assign(grammar, agent, placement=apart)) as there,
        InlineExecutor(assign(grammar, agent)) as here,
    ):
        there.play(5)
        here.play(5)
        for name, value in here.states()["Second"]["parameters"].items():
            assert torch.allclose(there.states()["Second"]["parameters"][name], value, atol=1e-6)


def test_a_checkpoint_has_each_player_once_and_serves_any_number_of_replicas(tmp_path: Path) -> None:
    grammar = wide()
    with InlineExecutor(assign(grammar, placement=replicated(grammar, First=3))) as three:
        three.play(4)
        three.save(tmp_path)
        three.play(3)
        expected = three.states()
    names = read_manifest(tmp_path).names
    assert sorted(names) == ["First", "Last", "Nature", "Second"]
    with InlineExecutor(assign(grammar, placement=replicated(grammar, First=3))) as again:
        again.load(load_states(tmp_path, names), 4)
        again.play(3)
        for name, value in expected["First"]["parameters"].items():
            assert torch.equal(again.states()["First"]["parameters"][name], value)
    with InlineExecutor(assign(grammar, placement=replicated(grammar, First=2))) as two:
        two.load(load_states(tmp_path, names), 4)
        two.play(1)


def test_each_replica_drops_out_for_itself() -> None:
    grammar = with_dropout()
    assignment = assign(grammar, placement=replicated(grammar, First=2))
    queried = [step for step in assignment.schedule.steps if isinstance(step, Query) and step.node == "First"]
    with InlineExecutor(assignment) as executor:
        drawn = []
        for name in ("First", "First#1"):
            with forked():
                executor._hosted[name].begins_query(grammar.query.by_name["First"])(0)
                drawn.append(torch.rand(4))
    assert len(queried) == 2 and not drawn[0].equal(drawn[1])


def test_an_audit_misses_a_sum() -> None:
    grammar = wide()
    assignment = assign(grammar, placement=replicated(grammar, First=2))
    with InlineExecutor(assignment) as executor:
        for program in executor._programs:
            program.begin()
        statistics = []
        play_round(executor._agenda.at(0), 0)
        statistics = [program.end() for program in executor._programs]
    audit(assignment.schedule, statistics, 0, 1)
    second = next(each for each in statistics if each.worker == "First#1")
    (number,) = second.contributed
    del second.contributed[number]
    name = assignment.schedule.reductions[number].name
    text = (
        f"the sum {name!r} was contributed to by 'First#1' not in round 0; expected once in each of the 1 rounds in "
        "which it is due, found 0. The rounds since the last checkpoint do not count: resume from it."
    )
    with pytest.raises(ProtocolError, match=re.escape(text)):
        audit(assignment.schedule, statistics, 0, 1)


@pytest.mark.parametrize(
    ("make", "change", "text"),
    [
        (wide, {"agents": (("First", "Last"),)}, "its agent lives on another worker"),
        (small_dac, {"sharded": ("Critic",), "replicas": (("Critic", 2),)}, "a clone follows it"),
        (
            wide,
            {"precision": (("First", Precision.FLOAT16),)},
            "its precision is float16, whose scale is each replica's own, and the parts are summed",
        ),
    ],
)
def test_what_cannot_be_played_in_parts_is_refused(make, change: dict, text: str) -> None:
    grammar = make()
    placement = replace(spread(grammar), **{"replicas": (("First", 2),), "sharded": ("First",), **change})
    player = placement.sharded[0]
    expected = (
        f"player {player!r} cannot be sharded over its replicas: {text}. Expected nodes that all of them play "
        "together, each answered once, and an agent beside every part. Leave the player whole."
    )
    with pytest.raises(PlacementError, match=re.escape(expected)):
        assign(grammar, placement=placement)


def test_a_player_in_parts_needs_replicas() -> None:
    text = (
        "player 'First' is to be sharded over its replicas, and has one; expected 2 or more. Give it replicas, or "
        "leave it whole."
    )
    with pytest.raises(PlacementError, match=re.escape(text)):
        assign(wide(), placement=replace(spread(wide()), sharded=("First",)))


def test_in_one_process_a_player_in_parts_is_whole_in_each() -> None:
    grammar, agent = wide(), AgentSpecification.of("SGD", {"lr": 0.1})
    placement = replicated(grammar, First=2)
    with InlineExecutor(assign(grammar, agent, placement=replace(placement, sharded=("First",)))) as parts:
        in_parts = parts.play(3)
    with InlineExecutor(assign(grammar, agent, placement=placement)) as replicas:
        assert replicas.play(3).losses == in_parts.losses
