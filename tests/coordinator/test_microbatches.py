"""Micro-batches: in every order and placement they give the gradient of the whole batch, or are refused."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from antiphon.coordinator.entries import play_round
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.microbatches import in_microbatches
from antiphon.coordinator.plan.placement import Placement, spread, together
from antiphon.coordinator.plan.replicas import divided
from antiphon.coordinator.plan.step_order import StepOrder, Task, arranged
from antiphon.coordinator.plan.steps import Accumulate, Join, Part, Query, Respond, Share
from antiphon.coordinator.plan.tasks import tasks_of
from antiphon.coordinator.plan.verify import verify
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.errors import AntiphonError, PlacementError, ProtocolError
from antiphon.experiments.load import read_experiment
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library import backprop
from antiphon.grammars.query import Kind
from antiphon.grammars.random_grammars import TanhLayer, draw_grammar, mean_gap, samples
from antiphon.grammars.reference import reference_gradients
from antiphon.grammars.response import Product
from antiphon.grammars.states import same_states
from antiphon.transport.message import Phase
from rigs.games import points, specifications, with_dropout


def played(assignment: Assignment, rounds: int = 2):
    with InlineExecutor(assignment) as executor:
        states = executor.states()
        losses = executor.play(rounds).losses
        return delivered(executor), states, {name: list(each.values) for name, each in losses.items()}


def assert_near(found, expected, tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for player, gradients in expected.items():
        for one, two in zip(found[player], gradients, strict=True):
            assert (one - two).abs().max() <= tolerance * max(float(two.abs().max()), 1e-3), player


def assert_equal(found, expected) -> None:
    assert found.keys() == expected.keys()
    for player, gradients in expected.items():
        assert all(map(torch.equal, found[player], gradients)), player


def drawn_placement(grammar: Grammar, chance: random.Random, microbatches: int) -> Placement:
    """Draw which players share a worker, and which have replicas."""
    names = [player.name for player in grammar.query.players]
    chance.shuffle(names)
    placement = spread(grammar, fuse=[names[: chance.randint(0, len(names))]])
    for name in names:
        trial = replace(placement, replicas=(*placement.replicas, (placement.host_of[name], 2)))
        if chance.random() < 0.3 and placement.host_of[name] not in dict(placement.replicas):
            try:
                divided(grammar, trial, microbatches)
                placement = trial
            except PlacementError:
                continue
    return placement


@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(1, 4), st.randoms(use_true_random=False))
def test_every_order_delivers_the_gradient_of_the_whole_batch(data, microbatches, chance):
    grammar = draw_grammar(lambda n: data.draw(st.integers(0, n - 1)), batch=data.draw(st.sampled_from([3, 8, 11])))
    placement = drawn_placement(grammar, chance, microbatches)
    try:
        assignment = assign(grammar, RECORDER, placement=placement, order="gpipe", microbatches=microbatches)
    except PlacementError as error:
        assert "micro-batches" in str(error) and microbatches == 4  # some batches have three rows
        return
    found, states, losses = played(assignment)
    assert_near(found, reference_gradients(grammar, states, 0, 1), 1e-9)
    for order in StepOrder:
        other = assign(grammar, RECORDER, placement=placement, order=order, microbatches=microbatches)
        verify(other.schedule)
        assert_equal(played(other)[0], found)
    _, _, whole = played(assign(grammar, RECORDER))
    for name, values in whole.items():
        assert losses[name] == pytest.approx(values, rel=1e-10, abs=1e-12)


def test_the_random_grammars_do_have_micro_batches():
    found: Counter[str] = Counter()
    for seed in range(40):
        chance = random.Random(seed)
        grammar = draw_grammar(chance.randrange, batch=8)
        schedule = assign(grammar, placement=drawn_placement(grammar, chance, 2), microbatches=2).schedule
        found.update({type(step).__name__ for step in schedule.steps if step.microbatch == 1})
        found["replicas"] += bool(schedule.replicas)
    assert min(found[name] for name in ("Query", "Respond", "Accumulate", "Cut", "replicas")) > 10, found


def pipeline(stages: int, batch: int = 16) -> Grammar:
    layers = {f"S{index}": Factory.of(TanhLayer, 3, 3) for index in range(stages)}
    return backprop(samples(batch, (3,), (3,)), layers, loss=Factory.of(mean_gap))


def tasks_of_a_pipeline(stages: int, count: int, order: StepOrder) -> list[Task]:
    """The tasks of a pipeline whose queries take 1, and each output of operator `*` 1."""
    grammar = pipeline(stages)
    places = {Phase.QUERY: {}, Phase.RESPONSE: {}}
    at = {node.name: (node.name if node.kind is Kind.PLAYER else f"S{stages - 1}",) for node in grammar.query.nodes}
    responses = {node.name: at[node.of] if isinstance(node, Product) else ("free",) for node in grammar.response.nodes}
    places = {Phase.QUERY: at, Phase.RESPONSE: responses}
    separate = in_microbatches(grammar, together(grammar), count)
    parts = [Share(index, count) for index in range(count)]
    found = tasks_of(grammar, places, separate, parts, order)
    stage = {f"S{index}" for index in range(stages)}
    products = {node.name for node in grammar.response.nodes if isinstance(node, Product) and node.of in stage}
    lengths = {Part.WHOLE: 2.0, Part.UPSTREAM: 1.0, Part.OWN: 1.0}
    return [
        replace(task, cost=1.0 if task.node in stage else lengths[task.part] if task.node in products else 0.0)
        for task in found
    ]


def length(tasks: Sequence[Task], begun: Sequence[int]) -> float:
    """The time at which the last task ends, if each begins as early as the order allows."""
    free: dict[str, float] = {}
    end: dict[int, float] = {}
    for position in begun:
        task = tasks[position]
        start = max([free.get(task.worker, 0.0), *(end[before] for before in task.after)])
        free[task.worker] = end[position] = start + task.cost
    return max(end.values())


@pytest.mark.parametrize(("stages", "count"), [(2, 2), (2, 8), (4, 4), (4, 16), (8, 16)])
def test_pipelines_take_as_long_as_the_papers_say(stages: int, count: int) -> None:
    """GPipe and 1F1B: (m + p - 1) (F + B + W). Zero bubble: a third less of idle time or better, Qi et al., 2024."""
    lengths = {}
    for order in StepOrder:
        tasks = tasks_of_a_pipeline(stages, count, order)
        lengths[order] = length(tasks, arranged(tasks, order))
    assert lengths[StepOrder.GPIPE] == lengths[StepOrder.ONE_F_ONE_B] == 3 * (count + stages - 1)
    bubble = lengths[StepOrder.ONE_F_ONE_B] - 3 * count
    # The first stage has no gradient to send upstream, so its response is one task here.
    assert lengths[StepOrder.ZERO_BUBBLE] <= 3 * count + 2 / 3 * bubble


@pytest.mark.parametrize("order", StepOrder)
def test_a_worker_with_both_ends_of_a_pipeline_does_not_wait_for_the_middle(order: StepOrder) -> None:
    count = 8
    tasks = [replace(task, worker=task.worker.replace("S2", "S0")) for task in tasks_of_a_pipeline(3, count, order)]
    busy = sum(task.cost for task in tasks if task.worker == "S0")
    assert busy >= 5 * count
    assert length(tasks, arranged(tasks, order)) <= busy + 3


def in_flight(assignment: Assignment, player: str) -> int:
    """The most micro-batches of a player that were queried and not yet responded to."""
    found = most = 0
    for step in assignment.schedule.steps:
        found += isinstance(step, Query) and step.node == player
        most = max(most, found)
        found -= isinstance(step, Respond) and step.node == f"{player} *" and step.part is not Part.OWN
    return most


@pytest.mark.parametrize(("order", "most"), [("gpipe", 8), ("1f1b", 5), ("zero-bubble", 5)])
def test_the_orders_that_answer_early_hold_few_micro_batches(order, most):
    grammar = pipeline(4)
    assignment = assign(grammar, placement=spread(grammar), order=StepOrder(order), microbatches=8)
    assert in_flight(assignment, "S0") == most  # four stages and the loss


def test_a_broadcast_answers_all_layers_of_a_micro_batch_at_once():
    grammar = read_experiment("kickback", []).build()
    players = [player.name for player in grammar.query.players]
    schedule = assign(grammar, placement=spread(grammar), order=StepOrder.ONE_F_ONE_B, microbatches=4).schedule
    answered = [
        step for step in schedule.steps if isinstance(step, Respond) and step.node in {f"{each} *" for each in players}
    ]
    assert len(answered) == 4 * len(players)
    # No micro-batch of any player waits for the response of another player, or for a later micro-batch.
    assert [step.microbatch for step in answered] == sorted(step.microbatch or 0 for step in answered)
    assert not [step for step in schedule.steps if isinstance(step, Join)]


class Sharpest(nn.Module):
    """A loss that is no mean over the batch."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the largest of the squared distances. x, y: (batch, n)."""
        return (x - y).square().sum(1).max()


def test_a_loss_that_is_no_mean_hears_the_whole_batch():
    layers = {name: Factory.of(TanhLayer, 3, 3) for name in ("A", "B")}
    grammar = backprop(samples(6, (3,), (3,)), layers, loss=Factory.of(Sharpest))
    for order in StepOrder:
        assignment = assign(grammar, RECORDER, placement=spread(grammar), order=order, microbatches=3)
        assert sum(isinstance(step, Query) and step.node == "Loss" for step in assignment.schedule.steps) == 1
        assert sum(isinstance(step, Query) and step.node == "A" for step in assignment.schedule.steps) == 3
        found, states, _ = played(assignment)
        assert_near(found, reference_gradients(grammar, states, 0, 1), 1e-12)


def test_each_micro_batch_has_its_own_dropout():
    grammar = with_dropout()
    runs = {}
    for order in StepOrder:
        assignment = assign(grammar, specifications(grammar), placement=spread(grammar), order=order, microbatches=3)
        with InlineExecutor(assignment) as executor:
            executor.play(20)
            runs[order] = executor.states()
    assert same_states(runs[StepOrder.GPIPE], runs[StepOrder.ONE_F_ONE_B])
    assert same_states(runs[StepOrder.GPIPE], runs[StepOrder.ZERO_BUBBLE])


@pytest.mark.parametrize(
    ("grammar", "microbatches", "told"),
    [
        (with_dropout, 8, ["First", "8 micro-batches", "7 rows"]),
        (lambda: backprop(points(4), {"Norm": Factory.of(nn.BatchNorm1d, 4), "Last": Factory.of(nn.Linear, 4, 3)}), 2,
         ["Norm", "2 micro-batches", "couples the examples", "accept_batch_coupling"]),
    ],
)  # fmt: skip
def test_what_cannot_be_divided_is_refused(grammar, microbatches, told):
    with pytest.raises(PlacementError) as refusal:
        assign(grammar(), microbatches=microbatches)
    assert all(each in str(refusal.value) for each in told), str(refusal.value)


@pytest.mark.parametrize("microbatches", [0, -1, 1.5, True, "2"])
def test_a_count_that_is_none_is_refused(microbatches):
    with pytest.raises(AntiphonError, match="microbatches"):
        assign(pipeline(2), microbatches=microbatches)


@pytest.mark.parametrize("microbatches", [2, 5])
def test_terms_in_another_order_are_refused_before_play(microbatches):
    grammar = pipeline(2)
    schedule = assign(grammar, placement=spread(grammar), order="1f1b", microbatches=microbatches).schedule
    first, last = (
        position
        for position, step in enumerate(schedule.steps)
        if isinstance(step, Accumulate) and step.worker == "S1" and step.microbatch in (0, microbatches - 1)
    )
    steps = list(schedule.steps)
    steps[first], steps[last] = steps[last], steps[first]
    without = [step for position, step in enumerate(schedule.steps) if position != first]
    for wrong in (steps, without):
        with pytest.raises(ProtocolError, match="micro-batch"):
            verify(replace(schedule, steps=tuple(wrong)))


def test_values_are_dropped_after_their_last_use():
    peaks = {}
    for keep in (False, True):
        assignment = assign(pipeline(4), order="1f1b", microbatches=8)
        with InlineExecutor(assignment, watch=(lambda *_: None) if keep else None) as executor:
            (program,) = executor._programs
            held = []
            for entry in executor._agenda.at(0):
                play_round([entry], 0)
                held.append(len(program._values))
            peaks[keep] = max(held)
    assert peaks[False] < peaks[True] / 3
