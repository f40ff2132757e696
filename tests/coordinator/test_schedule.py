"""Projection: blocking receives and sends that run ahead never deadlock, and every message is the expected one."""

import random
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence

import pytest

from antiphon.coordinator.plan.compile import compile_schedule
from antiphon.coordinator.plan.placement import Placement, hosted, spread
from antiphon.coordinator.plan.schedule import Schedule, project
from antiphon.coordinator.plan.step_order import StepOrder
from antiphon.coordinator.plan.steps import LocalAction, Move, Query, Receive, Respond, Send, Transfer
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.random_grammars import sample_grammar
from rigs.games import with_dropout


def placed(seed: int, staleness: int = 0) -> Schedule:
    """A random grammar on a random number of workers, some agents apart, some players at a cadence."""
    draw, grammar = random.Random(seed), sample_grammar(seed)
    names = [f"w{index}" for index in range(draw.randint(1, 6))]
    homes = {name: draw.choice(names) for name in hosted(grammar)}
    workers = tuple((name, tuple(each for each, home in homes.items() if home == name)) for name in names)
    players = list(grammar.query.player_by_name)
    agents = tuple((player, draw.choice(names)) for player in players if draw.random() < 0.4)
    cadences = {player: Cadence(draw.randint(1, 3), draw.randint(0, 2)) for player in players if draw.random() < 0.5}
    return compile_schedule(grammar, Placement(workers, agents), cadences, draw.choice(list(StepOrder)), 1, staleness)


def simulate(projections: Mapping[str, Sequence[LocalAction]], rounds: int, draw: random.Random) -> None:
    """Run all of them, in any order of workers; fail where all wait, or a message is not the expected one."""
    programs = {
        name: deque(
            (turn - action.delay, action)
            for turn in range(rounds + 3)
            for action in actions
            if turn - action.delay in range(rounds) and action.when.active(turn - action.delay)
        )
        for name, actions in projections.items()
    }
    under_way: dict[int, deque[int]] = defaultdict(deque)
    while any(programs.values()):
        ready = [name for name, left in programs.items() if left and can_go(left[0], under_way)]
        assert ready, f"deadlock: {[left[0] for left in programs.values() if left]}"
        round, action = programs[draw.choice(ready)].popleft()
        if isinstance(action, Send):
            under_way[action.edge.number].append(round)
        elif isinstance(action, Receive):
            assert under_way[action.edge.number].popleft() == round
    assert not any(under_way.values())


def can_go(item, under_way) -> bool:
    _, action = item
    return not isinstance(action, Receive) or bool(under_way[action.edge.number])


@pytest.mark.parametrize("seed", range(60))
def test_no_deadlock_on_any_placement(seed):
    schedule = placed(seed, staleness=seed % 3)
    assert schedule.delay == seed % 3
    projections = {name: project(schedule, name) for name in schedule.workers}
    simulate(projections, rounds=4, draw=random.Random(seed))


def test_the_simulator_sees_a_deadlock():
    schedule = compile_schedule(with_dropout(), spread(with_dropout()))
    projections = {
        name: sorted(project(schedule, name), key=lambda action: not isinstance(action, Receive))
        for name in schedule.workers
    }
    with pytest.raises(AssertionError, match="deadlock"):
        simulate(projections, rounds=1, draw=random.Random(0))


@pytest.mark.parametrize("seed", range(10))
def test_projections_part_the_schedule(seed):
    schedule = placed(seed)
    parts = [action for name in schedule.workers for action in project(schedule, name)]
    assert Counter(id(part) for part in parts if not isinstance(part, Send | Receive)) == Counter(
        id(step) for step in schedule.steps if not isinstance(step, Transfer)
    )
    for kind in (Send, Receive):
        assert sorted(part.edge.number for part in parts if isinstance(part, kind)) == sorted(schedule.edges)


@pytest.mark.parametrize("seed", range(10))
def test_a_send_stands_right_behind_the_step_that_made_its_value(seed):
    schedule = placed(seed)
    for name in schedule.workers:
        actions = project(schedule, name)
        for position, action in enumerate(actions):
            if isinstance(action, Send):
                behind = next(each for each in actions[position::-1] if not isinstance(each, Send))
                assert isinstance(behind, Query | Respond | Move)
                assert action.slot in behind.writes


def test_a_schedule_is_a_value():
    assert placed(3) == placed(3)
    grammar = with_dropout()
    assert compile_schedule(grammar, Placement((("a", hosted(grammar)),))).signature == grammar.signature
