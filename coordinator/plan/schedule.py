"""The schedule of a round: a totally ordered list of steps, compiled from a grammar and a placement. It is data."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from antiphon.coordinator.plan.steps import (
    Contribute,
    Cut,
    LocalAction,
    Query,
    Receive,
    Send,
    Slot,
    Step,
    Transfer,
    describe,
)
from antiphon.transport.message import Edge, Reduction


@dataclass(frozen=True)
class Schedule:
    """All steps of a round in one total order.

    If rounds overlap, some steps have a delay d: in turn t they play round t - d, while the others play round t.
    signature: signature of the grammar. workers: names, in the order of their ranks. replicas: groups of workers that
    play the same players, each on its own part of the batch. Only workers of one group may make the same value.
    """

    signature: str
    workers: tuple[str, ...]
    steps: tuple[Step, ...]
    replicas: tuple[tuple[str, ...], ...] = ()

    @functools.cached_property
    def edges(self) -> Mapping[int, Edge]:
        """All edges of the schedule, by edge number."""
        return {step.edge.number: step.edge for step in self.steps if isinstance(step, Transfer)}

    @functools.cached_property
    def transfers(self) -> Mapping[int, Transfer]:
        """All transfers of the schedule, by the number of their edge."""
        return {step.edge.number: step for step in self.steps if isinstance(step, Transfer)}

    @functools.cached_property
    def reductions(self) -> Mapping[int, Reduction]:
        """All all-reduces of the schedule, by number."""
        return {step.reduction.number: step.reduction for step in self.steps if isinstance(step, Contribute)}

    @functools.cached_property
    def of_one_round(self) -> tuple[Step, ...]:
        """All steps in the order in which one round plays them: if rounds overlap, steps with a delay come later."""
        return tuple(sorted(self.steps, key=lambda step: step.delay))

    @functools.cached_property
    def delay(self) -> int:
        """How many rounds the latest steps are behind the earliest: 0 if a round ends before the next one begins."""
        return max((step.delay for step in self.steps), default=0)

    @functools.cached_property
    def age(self) -> int:
        """The age, in rounds, of the oldest parameters that a query uses: 0 if all use the newest parameters."""
        return max((step.age or 0 for step in self.steps if isinstance(step, Query)), default=0)

    @property
    def in_flight(self) -> int:
        """The number of rounds whose values and parameters a worker keeps at once; 1 if rounds do not overlap."""
        return max(self.delay, self.age) + 1

    def carried_by(self, worker: str) -> tuple[Edge, ...]:
        """Return the edges that the channel of a worker carries: its own edges, and edges for its all-reduces."""
        sums = (each.edges_of(worker) for each in self.reductions.values() if worker in each.workers)
        own = (edge for edge in self.edges.values() if worker in (edge.source, edge.target))
        return (*own, *(edge for edges in sums for edge in edges))

    def __repr__(self) -> str:
        return "\n".join(f"{position:4d}  {describe(step)}" for position, step in enumerate(self.steps))


def project(schedule: Schedule, worker: str) -> tuple[LocalAction, ...]:
    """Return the local program of one worker: its own steps, in the order of the schedule.

    Steps that send, cut or contribute a value are moved to an earlier position, directly after the step that makes the
    value. These steps never wait, so the new order cannot deadlock: the earliest waiting step of the total order needs
    a value of earlier steps only, and nothing blocks those. All replicas contribute in the same order, the order in
    which the values are made.
    """
    local: list[LocalAction] = []
    for step in schedule.steps:
        if not isinstance(step, Transfer):
            if step.worker == worker:
                early = isinstance(step, Cut | Contribute)
                local.insert(_behind_writer(local, step.reads[0]) if early else len(local), step)
        elif step.edge.source == worker:
            local.insert(_behind_writer(local, step.slot), Send(step.edge, step.slot, step.when, step.delay))
        elif step.edge.target == worker:
            local.append(Receive(step.edge, step.slot, step.when, step.delay))
    return tuple(local)


def _behind_writer(local: list[LocalAction], slot: Slot) -> int:
    for position in range(len(local) - 1, -1, -1):
        if slot in _made(local[position]):
            behind = position + 1
            while behind < len(local) and isinstance(local[behind], Send | Cut | Contribute):
                behind += 1  # sends of one step keep the order of their transfers
            return behind
    return len(local)


def _made(action: LocalAction) -> tuple[Slot, ...]:
    match action:
        case Send():
            return ()
        case Receive(slot=slot):
            return (slot,)
        case _:
            return action.writes
