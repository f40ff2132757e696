"""What is made of a grammar grows with its players, and not with their square."""

import cProfile
import pickle
import pstats
from collections import Counter
from collections.abc import Callable

import pytest

from antiphon.coordinator.executor import Played
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import Placement, spread
from antiphon.coordinator.plan.verify import verify
from antiphon.coordinator.statistics import WorkerStatistics
from antiphon.grammars import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library import backprop, supervised
from antiphon.grammars.random_grammars import TanhLayer, mean_gap, samples

SMALL, LARGE = 40, 160


def chain(layers: int) -> Grammar:
    dense = {f"L{index}": Factory.of(TanhLayer, 3, 3) for index in range(layers)}
    return backprop(samples(4, (3,), (3,)), dense, Factory.of(mean_gap))


GRAMMARS = {layers: chain(layers) for layers in (SMALL, LARGE)}


def chained(layers: int) -> Assignment:
    return assign(GRAMMARS[layers], placement=spread(GRAMMARS[layers]))


def replicated(count: int) -> Assignment:
    grammar = supervised(samples(4 * count, (3,), (3,)), Factory.of(TanhLayer, 3, 3), Factory.of(mean_gap))
    return assign(grammar, placement=Placement(spread(grammar).workers, replicas=(("Predictor", count),)))


def calls(act: Callable[[], object]) -> int:
    """How many functions are called: a time that no other process changes."""
    profile = cProfile.Profile()
    profile.runcall(act)
    return pstats.Stats(profile).total_calls  # pyright: ignore[reportAttributeAccessIssue]  (its stubs leave it out)


def twice_as_steep(small: float, large: float) -> bool:
    """Whether something grew more than in proportion; what is quadratic grows four times as much."""
    return large / small > 1.5 * LARGE / SMALL


@pytest.mark.parametrize("made", [chained, replicated])
def test_compiling_and_verifying_take_time_in_proportion(made):
    small, large = (calls(lambda count=count: verify(made(count).schedule)) for count in (SMALL, LARGE))
    assert not twice_as_steep(small, large), (small, large)


def test_what_was_played_is_put_together_in_proportion():
    def statistics(count: int) -> list[WorkerStatistics]:
        return [WorkerStatistics(f"W{number}", payload=Counter({number: 8})) for number in range(count)]

    small, large = (calls(lambda count=count: Played.of(statistics(count), 1, 1)) for count in (SMALL, LARGE))
    assert not twice_as_steep(small, large), (small, large)


@pytest.mark.parametrize("made", [chained, replicated])
def test_an_assignment_takes_room_in_proportion(made):
    small, large = (len(pickle.dumps(made(count))) for count in (SMALL, LARGE))
    assert not twice_as_steep(small, large), (small, large)


def test_what_one_worker_carries_does_not_grow_with_the_square_of_its_replicas():
    schedule, worker = replicated(LARGE).schedule, "Predictor#7"
    mine = schedule.carried_by(worker)
    assert len({edge.number for edge in mine}) == len(mine) == 3 + 2 * (LARGE - 1)
    assert all(worker in (edge.source, edge.target) for edge in mine)
    for other in ("Predictor", "Predictor#8"):
        theirs = schedule.carried_by(other)
        assert {edge for edge in mine if edge.peer(worker) == other} == {e for e in theirs if e.peer(other) == worker}


def test_growth_with_the_square_is_found():
    assert twice_as_steep(SMALL**2, LARGE**2)
    assert not twice_as_steep(SMALL, LARGE)
