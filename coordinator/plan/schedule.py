"""The schedule of a round: a totally ordered list of steps, compiled from a grammar and a placement. It is data."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from antiphon.coordinator.plan.steps import Contribute, Cut, LocalAction, Receive, Send, Slot, Step, Transfer, describe
from antiphon.transport.message import Edge, Reduction


@dataclass(frozen=True)
class Schedule:
    """All steps of a round in one total order.

    signature: of the grammar. workers: in the order of their ranks. replicas: groups of workers that play the same
    players, each with a share of the batch. Only workers of one group may make the same value.
    """

    signature: str
    workers: tuple[str, ...]
    steps: tuple[Step, ...]
    replicas: tuple[tuple[str, ...], ...] = ()

    @functools.cached_property
    def edges(self) -> Mapping[int, Edge]:
        """Every edge, by its number."""
        return {step.edge.number: step.edge for step in self.steps if isinstance(step, Transfer)}

    @functools.cached_property
    def transfers(self) -> Mapping[int, Transfer]:
        """Every transfer, by the number of its edge."""
        return {step.edge.number: step for step in self.steps if isinstance(step, Transfer)}

    @functools.cached_property
    def reductions(self) -> Mapping[int, Reduction]:
        """Every sum over replicas, by its number."""
        return {step.reduction.number: step.reduction for step in self.steps if isinstance(step, Contribute)}

    def carried_by(self, worker: str) -> tuple[Edge, ...]:
        """Return the edges that the channel of one worker carries, and those that its sums over replicas may need."""
        sums = (each.edges_of(worker) for each in self.reductions.values() if worker in each.workers)
        own = (edge for edge in self.edges.values() if worker in (edge.source, edge.target))
        return (*own, *(edge for edges in sums for edge in edges))

    def __repr__(self) -> str:
        return "\n".join(f"{position:4d}  {describe(step)}" for position, step in enumerate(self.steps))


def project(schedule: Schedule, worker: str) -> tuple[LocalAction, ...]:
    """Return the local program of one worker: its own steps, in the schedule's order.

    A send, a cut or a contribution is moved to an earlier position, directly after the step that made its value. This
    cannot deadlock. None of these steps waits. Of all waiting steps, take the earliest in the total order: its value is
    made by earlier steps, and nothing blocks those. All replicas contribute in the same order, the order in which the
    values are made.
    """
    local: list[LocalAction] = []
    for step in schedule.steps:
        if not isinstance(step, Transfer):
            if step.worker == worker:
                early = isinstance(step, Cut | Contribute)
                local.insert(_behind_writer(local, step.reads[0]) if early else len(local), step)
        elif step.edge.source == worker:
            local.insert(_behind_writer(local, step.slot), Send(step.edge, step.slot, step.when))
        elif step.edge.target == worker:
            local.append(Receive(step.edge, step.slot, step.when))
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
