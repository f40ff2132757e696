"""audit: what was tallied is held against what was due."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from antiphon.coordinator.audit import audit
from antiphon.coordinator.plan.compile import compile_schedule
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.plan.schedule import Schedule
from antiphon.coordinator.plan.steps import Move, Transfer
from antiphon.coordinator.statistics import RoundTally, WorkerStatistics
from antiphon.errors import ProtocolError
from antiphon.grammars.cadence import Cadence
from rigs.games import with_dropout

GRAMMAR = with_dropout()
SCHEDULE = compile_schedule(GRAMMAR, spread(GRAMMAR), {"First": Cadence(2)})


def honest(schedule: Schedule, first: int, rounds: int) -> dict[str, WorkerStatistics]:
    statistics = {name: WorkerStatistics(name) for name in schedule.workers}
    for step in schedule.steps:
        due = RoundTally(filter(step.when.active, range(first, first + rounds)))
        if isinstance(step, Move):
            statistics[step.worker].moves[step.player] = due
        elif isinstance(step, Transfer):
            statistics[step.edge.source].sent[step.edge.number] = due
            statistics[step.edge.target].received[step.edge.number] = due
    return statistics


def told(kind: str, change: Callable[[Any], None]) -> Callable[[], None]:
    """The audit of rounds 10 to 14, the first edge's statistics (or First's moves) changed."""
    statistics = honest(SCHEDULE, 10, 5)
    edge = next(iter(SCHEDULE.edges.values()))
    one = {"sent": edge.source, "received": edge.target, "moves": "First"}[kind]
    tallies, key = getattr(statistics[one], kind), "First" if kind == "moves" else edge.number
    rounds = list(tallies[key])
    change(rounds)
    tallies[key] = RoundTally(rounds)
    return lambda: audit(SCHEDULE, statistics.values(), 10, 5)


def test_an_honest_tally_passes():
    audit(SCHEDULE, honest(SCHEDULE, 0, 7).values(), 0, 7)
    audit(SCHEDULE, honest(SCHEDULE, 10, 5).values(), 10, 5)


EDGE = "edge 'Q[Nature.sample] -> First' (query phase, from 'Nature' to 'First') was"
REMEDY = "The rounds since the last checkpoint do not count: resume from it."


@pytest.mark.parametrize("kind", ["sent", "received"])
def test_a_message_doubled_missing_or_alien_is_refused(kind, refusal):
    def text(what: str, found: int) -> str:
        return (
            f"{EDGE} {kind} {what}; expected once in each of the 5 rounds in which it is due, found {found}. {REMEDY}"
        )

    assert refusal(ProtocolError, told(kind, lambda rounds: rounds.append(14))) == text("twice in round 14", 6)
    assert refusal(ProtocolError, told(kind, lambda rounds: rounds.pop(2))) == text("not in round 12", 4)
    assert refusal(ProtocolError, told(kind, lambda rounds: rounds.append(15))) == text(
        "without being due in round 15", 6
    )
    assert refusal(ProtocolError, told(kind, lambda rounds: rounds.reverse())) == text("in another order", 5)


def test_a_move_that_is_not_due_is_refused(refusal):
    assert refusal(ProtocolError, told("moves", lambda rounds: rounds.append(11))) == (
        "player 'First' moved without being due in round 11; expected once in each of the 3 rounds in which it is due, "
        f"found 4. {REMEDY}"
    )


def test_a_worker_that_tells_nothing_is_refused(refusal):
    statistics = honest(SCHEDULE, 0, 2)
    del statistics["Norm"]
    assert refusal(ProtocolError, lambda: audit(SCHEDULE, statistics.values(), 0, 2)) == (
        f"worker 'Norm' returned no statistics; expected those of each of {list(SCHEDULE.workers)}. {REMEDY}"
    )


def test_a_tally_knows_moves_and_both_sides_of_every_edge():
    assert {"worker", "sent", "received", "moves"} <= {field.name for field in fields(WorkerStatistics)}
