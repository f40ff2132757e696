"""What a worker counts: nothing of it grows with the rounds but the values of the losses."""

import pickle

import pytest
from hypothesis import given, strategies as st

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread, together
from antiphon.coordinator.statistics import RoundTally, WorkerStatistics
from antiphon.grammars.cadence import Cadence
from rigs.games import with_dropout

lists = st.lists(st.integers(0, 20), max_size=12)


@given(lists, lists)
def test_a_tally_holds_exactly_the_rounds_in_order(one, two):
    tally = RoundTally(one)
    assert list(tally) == one and len(tally) == len(one)
    assert (tally.ranges == RoundTally(two).ranges) == (one == two)


@given(st.integers(0, 9), st.integers(1, 9), st.integers(0, 60))
def test_rounds_of_one_cadence_are_one_range(first, every, behind):
    assert len(RoundTally(range(first, behind, every)).ranges) <= 1


@pytest.mark.parametrize("placed", [spread, together])
def test_nothing_that_a_worker_counts_grows_with_the_rounds(placed, monkeypatch):
    """But the values of the losses, eight bytes each: they are the result."""
    grammar = with_dropout()
    agents = {"First": AgentSpecification.of("SGD", {"lr": 0.01}, cadence=Cadence(2))}
    seen: list[WorkerStatistics] = []
    monkeypatch.setattr("antiphon.coordinator.inline.audit", lambda schedule, found, first, rounds: seen.extend(found))
    with InlineExecutor(assign(grammar, agents, placement=placed(grammar))) as executor:
        executor.play(8)
        sizes = {rounds: _sizes(executor, rounds, seen) for rounds in (300, 600)}
    assert sizes[300] == pytest.approx(sizes[600], abs=16)


def _sizes(executor, rounds, seen):
    """The bytes of the statistics of each worker over a batch, without the values of the losses."""
    seen.clear()
    executor.play(rounds)
    for each in seen:
        each.losses = {name: (tally, None) for name, (tally, _) in each.losses.items()}
    return [len(pickle.dumps(each)) for each in seen]
