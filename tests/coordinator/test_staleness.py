"""Bounded staleness: a query uses parameters of an earlier round, its response is the gradient there."""

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from antiphon.agents import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.plan.schedule import Schedule
from antiphon.coordinator.plan.step_order import StepOrder
from antiphon.coordinator.plan.steps import Query
from antiphon.coordinator.plan.verify import verify
from antiphon.errors import NonfiniteError, PlacementError, ProtocolError
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library import backprop
from antiphon.grammars.oracle import State
from antiphon.grammars.random_grammars import draw_grammar, sample_grammar
from antiphon.grammars.reference import reference_gradients
from antiphon.grammars.states import same_states
from rigs import wrong_numbers
from rigs.games import points, small_dac, specifications, with_dropout

RATE = 0.1
SGD = AgentSpecification.of("SGD", {"lr": RATE})


def by_hand(grammar: Grammar, states: Mapping[str, State], age: int, rounds: int) -> Mapping[str, State]:
    """The states after SGD with gradients at the parameters of `age` rounds before, by torch's autograd alone."""
    learned = [each.name for each in (*grammar.query.players, *grammar.query.clones)]
    history = [{name: states[name]["parameters"] for name in learned}]
    for round in range(rounds):
        new, old = {name: dict(table) for name, table in history[-1].items()}, history[max(0, round - age)]
        then = {**states, **{name: {**states[name], "parameters": old[name]} for name in learned}}
        for player, gradient in reference_gradients(grammar, then, 0, round).items():
            for key, each in zip(new[player], gradient, strict=True):
                new[player][key] = new[player][key] - RATE * each
        for clone in grammar.query.clones:
            if clone.cadence.active(round):
                for key, each in new[clone.player].items():
                    own = new[clone.name][key]
                    new[clone.name][key] = each if clone.soft is None else own + clone.soft * (each - own)
        history.append(new)
    return history[-1]


def played(assignment: Assignment, *batches: int) -> Mapping[str, State]:
    with InlineExecutor(assignment) as executor:
        for rounds in batches:
            executor.play(rounds)
        return executor.states()


def without_overlap(schedule: Schedule) -> Schedule:
    """The same queries with the same ages, each round after the one before."""
    steps = sorted(schedule.steps, key=lambda step: step.delay)
    return replace(schedule, steps=tuple(replace(step, delay=0) for step in steps))


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 3))
def test_every_move_is_that_of_the_gradient_at_the_older_parameters(data, age):
    grammar = draw_grammar(lambda n: data.draw(st.integers(0, n - 1)))
    assignment = assign(grammar, SGD, placement=spread(grammar), staleness=age)
    verify(assignment.schedule)
    with InlineExecutor(assignment) as executor:
        before = executor.states()
        executor.play(6)
        found = executor.states()
    for name, expected in by_hand(grammar, before, age, 6).items():
        for key, each in expected.items():
            torch.testing.assert_close(found[name]["parameters"][key], each, rtol=1e-9, atol=1e-11)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 2))
def test_overlap_orders_and_batches_of_rounds_change_no_bit(seed, age, microbatches):
    grammar = draw_grammar(random.Random(seed).randrange, batch=6)
    how = {"staleness": age, "microbatches": microbatches}
    expected = played(assign(grammar, SGD, **how), 7)
    for order in StepOrder:
        assignment = assign(grammar, SGD, placement=spread(grammar), order=order, **how)
        verify(assignment.schedule)
        assert assignment.schedule.delay == age
        apart = replace(assignment, schedule=without_overlap(assignment.schedule))
        for each, batches in ((assignment, (7,)), (assignment, (1, 4, 2)), (apart, (7,))):
            assert same_states(played(each, *batches), expected), order


@pytest.mark.parametrize(("make", "staleness"), [(with_dropout, 2), (small_dac, {"act": 1}), (small_dac, {"act": 3})])
def test_a_run_goes_on_from_a_checkpoint(make, staleness):
    grammar = make()
    assignment = assign(grammar, specifications(grammar), staleness=staleness)
    with InlineExecutor(assignment) as executor:
        executor.play(40)
        halfway = executor.states()
        executor.play(9)
        expected = executor.states()
    if make is small_dac:  # its simulator cannot be saved
        return
    with InlineExecutor(assignment) as executor:
        executor.load(halfway, 40)
        executor.play(9)
        assert same_states(executor.states(), expected)


@pytest.mark.parametrize("age", [1, 3])
def test_acting_with_older_parameters_plays_ahead_of_learning(age):
    """Its own pass alone is stale: the environment steps of a round come before the moves of the round before."""
    grammar = small_dac()
    assignment = assign(grammar, specifications(grammar), placement=spread(grammar), staleness={"act": age})
    schedule = assignment.schedule
    verify(schedule)
    ages = {step.node: step.age for step in schedule.steps if isinstance(step, Query) and step.age is not None}
    assert schedule.delay == 1 and ages.pop("Actor") == age and not any(ages.values())
    apart = replace(assignment, schedule=without_overlap(schedule))
    assert same_states(played(assignment, 60), played(apart, 25, 35))
    assert not same_states(played(assignment, 60), played(assign(grammar, specifications(grammar)), 60))


@pytest.mark.parametrize("policy", ["skip-round", "clip"])
@pytest.mark.parametrize("place", ["query", "gradient", "response"])
def test_a_wrong_number_has_the_same_effect_however_rounds_overlap(place, policy):
    game = wrong_numbers.grammar(place)
    assignment = assign(game, SGD, placement=spread(game), staleness=2, on_nonfinite=policy)
    apart = replace(assignment, schedule=without_overlap(assignment.schedule))
    assert same_states(played(assignment, 7), played(apart, 4, 3))
    with pytest.raises(NonfiniteError) as found:
        played(assign(game, SGD, placement=spread(game), staleness=2), 7)
    assert found.value.round == 2


def normalised() -> Grammar:
    return backprop(points(4), {"Norm": Factory.of(nn.BatchNorm1d, 4), "Last": Factory.of(nn.Linear, 4, 3)})


@pytest.mark.parametrize(
    ("make", "staleness", "told"),
    [(normalised, 1, ["'Norm'", "buffers", "staleness"]), (with_dropout, {"act": 1}, ["'act'", "['round']"])],
)
def test_what_cannot_be_stale_is_refused(make, staleness, told):
    with pytest.raises(PlacementError) as refusal:
        assign(make(), staleness=staleness)
    assert all(each in str(refusal.value) for each in told), str(refusal.value)


def test_a_query_with_parameters_that_do_not_exist_yet_is_refused_before_play():
    schedule = assign(sample_grammar(1), staleness=2).schedule
    steps = tuple(replace(step, age=1) if isinstance(step, Query) and step.age else step for step in schedule.steps)
    with pytest.raises(ProtocolError, match="2 rounds late"):
        verify(replace(schedule, steps=steps))
