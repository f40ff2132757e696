"""Checks after a batch of rounds that each message was sent and received once, and each move made once, when due."""

import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain

from antiphon.coordinator.plan.schedule import Schedule
from antiphon.coordinator.plan.steps import Collect, Contribute, Move, Transfer
from antiphon.coordinator.statistics import RoundTally, WorkerStatistics
from antiphon.errors import ProtocolError
from antiphon.grammars.when import ALWAYS, When


def audit(schedule: Schedule, statistics: Iterable[WorkerStatistics], first: int, rounds: int) -> None:
    """Check after a batch of rounds that the workers did what the schedule says, once in every due round.

    The statistics must show each message sent and received, each move of a player, and each all-reduce between
    replicas. All replicas of a player must hold equal parameters.
    statistics: statistics of every worker. first: the first round of the batch. rounds: number of rounds that were
    played.
    Raises ProtocolError that names the message, all-reduce or player, its workers, and the first round that is missing
    or doubled.
    """
    by_worker = {worker_statistics.worker: worker_statistics for worker_statistics in statistics}
    missing = [worker for worker in schedule.workers if worker not in by_worker]
    if missing:
        raise ProtocolError(
            f"worker {missing[0]!r} returned no statistics; expected those of each of {list(schedule.workers)}. "
            "The rounds since the last checkpoint do not count: resume from it."
        )
    due_at = functools.cache(functools.partial(_due, range(first, first + rounds)))
    nothing = RoundTally()
    for step in schedule.steps:
        if not isinstance(step, Transfer | Move | Contribute | Collect):
            continue
        due = due_at(step.when)
        if isinstance(step, Move):
            _compare(by_worker[step.worker].moves.get(step.player, nothing), due, f"player {step.player!r} moved")
            continue
        if isinstance(step, Contribute | Collect):
            number, worker_statistics = step.reduction.number, by_worker[step.worker]
            found = worker_statistics.contributed if isinstance(step, Contribute) else worker_statistics.collected
            what = "was contributed to" if isinstance(step, Contribute) else "was collected"
            _compare(found.get(number, nothing), due, f"the sum {step.reduction.name!r} {what} by {step.worker!r}")
            continue
        edge = step.edge
        what = f"edge {edge.name!r} ({edge.phase.name.lower()} phase, from {edge.source!r} to {edge.target!r}) was"
        _compare(by_worker[edge.source].sent.get(edge.number, nothing), due, f"{what} sent")
        _compare(by_worker[edge.target].received.get(edge.number, nothing), due, f"{what} received")
    _compare_replicas(schedule, by_worker, first + rounds)


def _due(rounds: range, when: When) -> list[range]:
    """Return the rounds of `rounds` in which a step with the condition `when` is due, as ranges of a `RoundTally`."""
    return [rounds] if rounds and when == ALWAYS else RoundTally(filter(when.active, rounds)).ranges


def _compare_replicas(schedule: Schedule, by_worker: Mapping[str, WorkerStatistics], behind: int) -> None:
    for first, *others in schedule.replicas:
        for other in others:
            ours, theirs = by_worker[first].digests, by_worker[other].digests
            apart = sorted(player for player in ours if ours[player] != theirs.get(player))
            if apart:
                raise ProtocolError(
                    f"replicas {first!r} and {other!r} of player {apart[0]!r} hold different parameters before round "
                    f"{behind}; expected equal bits, since they received the same responses. Let its agent move "
                    "by its responses alone: no clock, no random numbers but those of the process's global streams, "
                    "no reading of its own place."
                )


def _compare(found: RoundTally, due: list[range], what: str) -> None:
    if found.ranges == due:
        return
    times, wanted = Counter(found), dict.fromkeys(chain.from_iterable(due))
    missing = _first(round for round in wanted if round not in times)
    doubled = _first(round for round in found if times[round] > 1)
    alien = _first(round for round in found if round not in wanted)
    faults = {"not in round": missing, "twice in round": doubled, "without being due in round": alien}
    text = ", ".join(f"{kind} {round}" for kind, round in faults.items() if round is not None) or "in another order"
    raise ProtocolError(
        f"{what} {text}; expected once in each of the {len(wanted)} rounds in which it is due, found {len(found)}. "
        "The rounds since the last checkpoint do not count: resume from it."
    )


def _first(rounds: Iterable[int]) -> int | None:
    return next(iter(rounds), None)
