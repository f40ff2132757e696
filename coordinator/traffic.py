"""How much travels between workers, and between the machines that they are on: as planned, and as it was played."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from antiphon.coordinator.executor import Played
from antiphon.coordinator.plan.schedule import Contribute, Schedule
from antiphon.transport.message import Edge, Reduction


@dataclass(frozen=True)
class Traffic:
    """What one edge of a schedule carries over some rounds.

    payload: bytes of the values themselves. overhead: of tags, headers and padding around them; None where it is not
    known, because it is the channel's affair and nothing was sent yet.
    """

    edge: Edge
    messages: int
    payload: int
    overhead: int | None = None


def planned(schedule: Schedule, rounds: range) -> tuple[Traffic, ...]:
    """What a schedule says that these rounds will carry, before anything is played."""
    found = []
    for step in schedule.transfers.values():
        messages = sum(step.when.active(round) for round in rounds)
        found.append(Traffic(step.edge, messages, messages * step.edge.bytes))
    return tuple(found)


def measured(schedule: Schedule, played: Played) -> tuple[Traffic, ...]:
    """What a batch of rounds carried, as its workers counted what they handed to their channels."""
    return tuple(
        Traffic(
            edge,
            played.messages.get(number, 0),
            played.payload.get(number, 0),
            played.wire.get(number, 0) - played.payload.get(number, 0),
        )
        for number, edge in schedule.edges.items()
    )


@dataclass(frozen=True)
class Summed:
    """What replicas contributed to one sum over some rounds: how many terms, and bytes of the terms themselves.

    How many bytes an all-reduce moves for it is its own affair: a ring of k sends each term about twice, whatever k.
    Terms of a sharded player are summed by its module's own hooks, and have no bytes here.
    """

    reduction: Reduction
    terms: int
    payload: int


def planned_sums(schedule: Schedule, rounds: range, sharded: Iterable[str] = ()) -> tuple[Summed, ...]:
    """What a schedule says that replicas will contribute. sharded: workers whose players are in parts."""
    found, parts = [], set(sharded)
    for step in schedule.steps:
        if isinstance(step, Contribute) and step.worker == step.reduction.workers[0]:
            terms = sum(step.when.active(round) for round in rounds) * len(step.reduction.workers)
            found.append(Summed(step.reduction, terms, 0 if step.worker in parts else terms * step.reduction.bytes))
    return tuple(found)


def measured_sums(schedule: Schedule, played: Played) -> tuple[Summed, ...]:
    """What a batch of rounds contributed, as its workers counted."""
    return tuple(
        Summed(reduction, played.terms.get(number, 0), played.payload.get(number, 0))
        for number, reduction in schedule.reductions.items()
    )


@dataclass(frozen=True)
class Flow:
    """What goes from one place to another."""

    messages: int
    payload: int


def between(traffic: Iterable[Traffic], place: Mapping[str, str] | None = None) -> Mapping[tuple[str, str], Flow]:
    """Traffic by (from, to): between workers, or, where `place` tells the machine of each, between machines.

    What stays in one place is left out: it costs no wire.
    """
    found: dict[tuple[str, str], Flow] = defaultdict(lambda: Flow(0, 0))
    for each in traffic:
        ends = each.edge.source, each.edge.target
        source, target = ends if place is None else (place[ends[0]], place[ends[1]])
        if source != target:
            flow = found[source, target]
            found[source, target] = Flow(flow.messages + each.messages, flow.payload + each.payload)
    return dict(found)
