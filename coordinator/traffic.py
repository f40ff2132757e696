"""Counts the data that travels between workers and between machines, as planned and as measured."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from antiphon.coordinator.executor import Played
from antiphon.coordinator.plan.schedule import Schedule
from antiphon.coordinator.plan.steps import Contribute
from antiphon.transport.message import Edge, Reduction


@dataclass(frozen=True)
class Traffic:
    """The messages on one edge of a schedule over several rounds: their number and their bytes.

    payload: bytes of the values themselves. overhead: bytes of tags, headers and padding around them. It is None before
    play, because it depends on the channel.
    """

    edge: Edge
    messages: int
    payload: int
    overhead: int | None = None


def planned(schedule: Schedule, rounds: range) -> tuple[Traffic, ...]:
    """Return the traffic on each edge that a schedule plans for the rounds in `rounds`."""
    counts = [(step.edge, sum(map(step.when.active, rounds))) for step in schedule.transfers.values()]
    return tuple(Traffic(edge, messages, messages * edge.bytes) for edge, messages in counts)


def measured(schedule: Schedule, played: Played) -> tuple[Traffic, ...]:
    """Return the traffic on each edge in a batch of rounds, as the workers counted it."""
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
    """The terms that replicas give to one all-reduce in several rounds: their number and their bytes.

    payload: bytes of the terms. The bytes that an all-reduce moves depend on its algorithm: a ring sends each term
    about twice, for any number of replicas. Terms of a sharded player have no bytes here, because the hooks of its
    module sum them.
    """

    reduction: Reduction
    terms: int
    payload: int


def planned_sums(schedule: Schedule, rounds: range, sharded: Iterable[str] = ()) -> tuple[Summed, ...]:
    """Return number and bytes of the terms of each all-reduce that a schedule plans for the rounds in `rounds`.

    sharded: names of the workers whose players are sharded.
    """
    found, parts = [], set(sharded)
    for step in schedule.steps:
        if isinstance(step, Contribute) and step.worker == step.reduction.workers[0]:
            terms = sum(map(step.when.active, rounds)) * len(step.reduction.workers)
            found.append(Summed(step.reduction, terms, 0 if step.worker in parts else terms * step.reduction.bytes))
    return tuple(found)


def measured_sums(schedule: Schedule, played: Played) -> tuple[Summed, ...]:
    """Return number and bytes of the terms of each all-reduce in a batch of rounds, as the workers counted them."""
    return tuple(
        Summed(reduction, played.terms.get(number, 0), played.payload.get(number, 0))
        for number, reduction in schedule.reductions.items()
    )


@dataclass(frozen=True)
class Flow:
    """The number of messages, and the bytes of their values, from one worker or machine to another."""

    messages: int
    payload: int


def between(traffic: Iterable[Traffic], place: Mapping[str, str] | None = None) -> Mapping[tuple[str, str], Flow]:
    """Return the total traffic from each worker to each other worker, or between machines if `place` is given.

    place: the machine of each worker. Keys of the result are (source, target). Traffic within one worker or machine is
    left out.
    """
    found: dict[tuple[str, str], Flow] = defaultdict(lambda: Flow(0, 0))
    for each in traffic:
        ends = each.edge.source, each.edge.target
        source, target = ends if place is None else (place[ends[0]], place[ends[1]])
        if source != target:
            flow = found[source, target]
            found[source, target] = Flow(flow.messages + each.messages, flow.payload + each.payload)
    return dict(found)
