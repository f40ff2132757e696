"""The schedule of a round: a totally ordered list of steps, compiled from a grammar and a placement. Only data."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from antiphon.grammars.query import Port
from antiphon.grammars.response import PARAMETERS
from antiphon.grammars.when import When
from antiphon.transport.message import Edge, Phase, Reduction


@dataclass(frozen=True, slots=True)
class Share:
    """The share of a value that one of several replicas has: a slice of its batch, or one term of a sum of gradients.

    >>> [Share(index, 3).rows(8) for index in range(3)]
    [(0, 2), (2, 5), (5, 8)]
    """

    index: int
    of: int

    def rows(self, batch: int) -> tuple[int, int]:
        """The first row of this slice, and the row after its last."""
        return self.index * batch // self.of, (self.index + 1) * batch // self.of


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a value during a round: a port of Q, a port of R, or (phase MOVE) the parameters of a player.

    share: the share of one replica; None for the whole value.
    """

    phase: Phase
    port: Port
    share: Share | None = None

    @property
    def whole(self) -> "Slot":
        """The slot of the whole value."""
        return Slot(self.phase, self.port)

    def __repr__(self) -> str:
        kind = {Phase.QUERY: "Q", Phase.RESPONSE: "R", Phase.MOVE: "move"}[self.phase]
        port = f"{self.port.node}.parameters" if self.port.index == PARAMETERS else repr(self.port)
        share = f"#{self.share.index} of {self.share.of}" if self.share else ""
        return f"{kind}[{port}{share}]"


@dataclass(frozen=True)
class Query:
    """Query a node of Q on one worker."""

    node: str
    worker: str
    reads: tuple[Slot, ...]
    writes: tuple[Slot, ...]
    when: When
    microbatch: int = 0
    phase: Phase = Phase.QUERY


class Part(StrEnum):
    """The outputs of operator `*` that a step computes. UPSTREAM comes first, since other workers wait for it."""

    WHOLE = "whole"
    UPSTREAM = "upstream"
    OWN = "own"


@dataclass(frozen=True)
class Respond:
    """Compute a node of R, or one part of it, on one worker. A delivery writes no slot: the agent hears the message."""

    node: str
    worker: str
    reads: tuple[Slot, ...]
    writes: tuple[Slot, ...]
    when: When
    part: Part = Part.WHOLE
    microbatch: int = 0
    phase: Phase = Phase.RESPONSE


@dataclass(frozen=True)
class Transfer:
    """Send a value from one worker to another. Send and receive both have this position in the schedule."""

    edge: Edge
    slot: Slot
    when: When
    microbatch: int = 0

    @property
    def phase(self) -> Phase:
        """The phase of the edge."""
        return self.edge.phase

    @property
    def workers(self) -> tuple[str, str]:
        """The sender and the receiver."""
        return self.edge.source, self.edge.target


@dataclass(frozen=True)
class Move:
    """Let a player's agent move. Moves come after all responses of the round."""

    player: str
    worker: str
    writes: tuple[Slot, ...]
    when: When
    phase: Phase = Phase.MOVE
    reads: tuple[Slot, ...] = ()


@dataclass(frozen=True)
class Install:
    """Give a player's operator the parameters that arrived from its agent on another worker."""

    player: str
    worker: str
    reads: tuple[Slot, ...]
    when: When
    phase: Phase = Phase.MOVE
    writes: tuple[Slot, ...] = ()


@dataclass(frozen=True)
class Follow:
    """Let a clone follow its player, after the moves."""

    clone: str
    worker: str
    when: When
    phase: Phase = Phase.MOVE
    reads: tuple[Slot, ...] = ()
    writes: tuple[Slot, ...] = ()


@dataclass(frozen=True)
class Cut:
    """Take one replica's slice of a value's batch."""

    worker: str
    reads: tuple[Slot, ...]
    writes: tuple[Slot, ...]
    when: When

    @property
    def phase(self) -> Phase:
        """The phase of the value."""
        return self.reads[0].phase


@dataclass(frozen=True)
class Join:
    """Concatenate the slices of a value, on a worker that needs the whole value."""

    worker: str
    reads: tuple[Slot, ...]
    writes: tuple[Slot, ...]
    when: When

    @property
    def phase(self) -> Phase:
        """The phase of the value."""
        return self.reads[0].phase


@dataclass(frozen=True)
class Contribute:
    """Contribute a replica's term to a sum. Does not wait for other replicas."""

    reduction: Reduction
    worker: str
    reads: tuple[Slot, ...]
    when: When
    writes: tuple[Slot, ...] = ()

    @property
    def phase(self) -> Phase:
        """The phase of the summed value."""
        return self.reduction.phase


@dataclass(frozen=True)
class Collect:
    """Wait for a sum, on one replica. It comes after the contributions of all replicas."""

    reduction: Reduction
    worker: str
    writes: tuple[Slot, ...]
    when: When
    reads: tuple[Slot, ...] = ()

    @property
    def phase(self) -> Phase:
        """The phase of the summed value."""
        return self.reduction.phase


LocalStep: TypeAlias = Query | Respond | Move | Install | Follow | Cut | Join | Contribute | Collect
Step: TypeAlias = LocalStep | Transfer


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

    @functools.cached_property
    def carried(self) -> tuple[Edge, ...]:
        """Every edge that a channel may have to carry, including the edges between replicas for their sums."""
        summed = [edge for reduction in self.reductions.values() for edge in reduction.edges]
        return (*self.edges.values(), *summed)

    def carried_by(self, worker: str) -> tuple[Edge, ...]:
        """The edges of `carried` that begin or end at one worker.

        The other edges of its sums are not made: there are as many as the square of the number of replicas.
        """
        sums = (each.edges_of(worker) for each in self.reductions.values() if worker in each.workers)
        own = (edge for edge in self.edges.values() if worker in (edge.source, edge.target))
        return (*own, *(edge for edges in sums for edge in edges))

    def __repr__(self) -> str:
        return "\n".join(f"{position:4d}  {describe(step)}" for position, step in enumerate(self.steps))


def describe(step: Step) -> str:
    """One line of text for a step: its phase, its worker, its action, and its condition unless that is "always"."""
    when = "" if not step.when.clauses else f"   [{step.when!r}]"
    match step:
        case Transfer():
            text = f"{step.edge.source} -> {step.edge.target}: {step.slot!r}"
        case Query():
            text = f"{step.worker}: {step.node}"
        case Respond():
            part = "" if step.part is Part.WHOLE else f" ({step.part})"
            text = f"{step.worker}: {step.node}{part}"
        case Move():
            text = f"{step.worker}: {step.player} moves"
        case Install():
            text = f"{step.worker}: {step.player} takes up its parameters"
        case Follow():
            text = f"{step.worker}: {step.clone} follows"
        case Cut():
            text = f"{step.worker}: cut {step.writes[0]!r}"
        case Join():
            text = f"{step.worker}: join {step.writes[0]!r}"
        case Contribute():
            text = f"{step.worker}: contribute {step.reads[0]!r}"
        case Collect():
            text = f"{step.worker}: collect {step.writes[0]!r}"
    return f"{step.phase.name.lower():8s} {text}{when}"


@dataclass(frozen=True)
class Send:
    """The sending half of a transfer. It does not wait for the receiver."""

    edge: Edge
    slot: Slot
    when: When


@dataclass(frozen=True)
class Receive:
    """The receiving half of a transfer. It waits, at the transfer's position in the schedule."""

    edge: Edge
    slot: Slot
    when: When


LocalAction: TypeAlias = LocalStep | Send | Receive


def project(schedule: Schedule, worker: str) -> tuple[LocalAction, ...]:
    """The local program of one worker: its own steps, in the schedule's order.

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


def describe_action(action: LocalAction) -> str:
    """One line of text for an action of a worker."""
    match action:
        case Send():
            return f"send {action.slot!r} to {action.edge.target}"
        case Receive():
            return f"receive {action.slot!r} from {action.edge.source}"
        case _:
            return describe(action)
