"""The schedule: one totally ordered list of steps that a grammar and a placement compile to. Data: it does nothing."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from antiphon.coordinator.plan.when import When
from antiphon.grammars.query import Port
from antiphon.grammars.response import PARAMETERS
from antiphon.transport.message import Edge, Phase, Reduction


@dataclass(frozen=True, slots=True)
class Share:
    """What one of several replicas has of a value: a slice of its batch, or (of parameters' gradients) one term of it.

    >>> [Share(index, 3).rows(8) for index in range(3)]
    [(0, 2), (2, 5), (5, 8)]
    """

    index: int
    of: int

    def rows(self, batch: int) -> tuple[int, int]:
        """The first row of this slice, and the one behind its last."""
        return self.index * batch // self.of, (self.index + 1) * batch // self.of


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a value is kept during a round: a port of Q, of R, or (phase MOVE) a player's parameters.

    share: of a replica; None for the whole value.
    """

    phase: Phase
    port: Port
    share: Share | None = None

    @property
    def whole(self) -> "Slot":
        """The same value, undivided."""
        return Slot(self.phase, self.port)

    def __repr__(self) -> str:
        kind = {Phase.QUERY: "Q", Phase.RESPONSE: "R", Phase.MOVE: "move"}[self.phase]
        port = f"{self.port.node}.parameters" if self.port.index == PARAMETERS else repr(self.port)
        share = f"#{self.share.index} of {self.share.of}" if self.share else ""
        return f"{kind}[{port}{share}]"


@dataclass(frozen=True)
class Query:
    """A node of Q is asked, on one worker."""

    node: str
    worker: str
    reads: tuple[Slot, ...]
    writes: tuple[Slot, ...]
    when: When
    microbatch: int = 0
    phase: Phase = Phase.QUERY


class Part(StrEnum):
    """Which outputs of operator `*` a step computes: upstream first, since somebody there is waiting."""

    WHOLE = "whole"
    UPSTREAM = "upstream"
    OWN = "own"


@dataclass(frozen=True)
class Respond:
    """A node of R is computed, or a part of it, on one worker. A delivery writes nothing: its agent hears."""

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
    """A value travels from one worker to another; the send and the receive stand at this one position."""

    edge: Edge
    slot: Slot
    when: When
    microbatch: int = 0

    @property
    def phase(self) -> Phase:
        """The phase of its edge."""
        return self.edge.phase

    @property
    def workers(self) -> tuple[str, str]:
        """Who sends, who receives."""
        return self.edge.source, self.edge.target


@dataclass(frozen=True)
class Move:
    """A player's agent moves, after all responses of the round."""

    player: str
    worker: str
    writes: tuple[Slot, ...]
    when: When
    phase: Phase = Phase.MOVE
    reads: tuple[Slot, ...] = ()


@dataclass(frozen=True)
class Install:
    """The operator of a player whose agent lives elsewhere takes up the parameters that arrived."""

    player: str
    worker: str
    reads: tuple[Slot, ...]
    when: When
    phase: Phase = Phase.MOVE
    writes: tuple[Slot, ...] = ()


@dataclass(frozen=True)
class Follow:
    """A clone follows its player, after the moves."""

    clone: str
    worker: str
    when: When
    phase: Phase = Phase.MOVE
    reads: tuple[Slot, ...] = ()
    writes: tuple[Slot, ...] = ()


@dataclass(frozen=True)
class Cut:
    """A slice of a value's batch is taken, for a replica."""

    worker: str
    reads: tuple[Slot, ...]
    writes: tuple[Slot, ...]
    when: When

    @property
    def phase(self) -> Phase:
        """The phase of its value."""
        return self.reads[0].phase


@dataclass(frozen=True)
class Join:
    """The slices of a value are put together again, where the whole is needed."""

    worker: str
    reads: tuple[Slot, ...]
    writes: tuple[Slot, ...]
    when: When

    @property
    def phase(self) -> Phase:
        """The phase of its value."""
        return self.reads[0].phase


@dataclass(frozen=True)
class Contribute:
    """A replica's term of a sum leaves; it does not wait."""

    reduction: Reduction
    worker: str
    reads: tuple[Slot, ...]
    when: When
    writes: tuple[Slot, ...] = ()

    @property
    def phase(self) -> Phase:
        """The phase of its value."""
        return self.reduction.phase


@dataclass(frozen=True)
class Collect:
    """A replica waits for the sum, behind the contributions of all."""

    reduction: Reduction
    worker: str
    writes: tuple[Slot, ...]
    when: When
    reads: tuple[Slot, ...] = ()

    @property
    def phase(self) -> Phase:
        """The phase of its value."""
        return self.reduction.phase


LocalStep: TypeAlias = Query | Respond | Move | Install | Follow | Cut | Join | Contribute | Collect
Step: TypeAlias = LocalStep | Transfer


@dataclass(frozen=True)
class Schedule:
    """All steps of a round in one total order, with the workers and the grammar's signature they belong to.

    replicas: groups of workers that play the same players, each a share of the batch; they alone may make one value
    several times.
    """

    signature: str
    workers: tuple[str, ...]
    steps: tuple[Step, ...]
    replicas: tuple[tuple[str, ...], ...] = ()

    @functools.cached_property
    def edges(self) -> Mapping[int, Edge]:
        """Every edge by its number."""
        return {step.edge.number: step.edge for step in self.steps if isinstance(step, Transfer)}

    @functools.cached_property
    def transfers(self) -> Mapping[int, Transfer]:
        """Every transfer by the number of its edge."""
        return {step.edge.number: step for step in self.steps if isinstance(step, Transfer)}

    @functools.cached_property
    def reductions(self) -> Mapping[int, Reduction]:
        """Every sum over replicas by its number."""
        return {step.reduction.number: step.reduction for step in self.steps if isinstance(step, Contribute)}

    @functools.cached_property
    def carried(self) -> tuple[Edge, ...]:
        """Every edge that a channel may be asked to carry, those of sums included."""
        summed = [edge for reduction in self.reductions.values() for edge in reduction.edges]
        return (*self.edges.values(), *summed)

    def carried_by(self, worker: str) -> tuple[Edge, ...]:
        """Those of `carried` that begin or end at one worker; all of a sum's are as many as its replicas squared."""
        sums = (each.edges_of(worker) for each in self.reductions.values() if worker in each.workers)
        own = (edge for edge in self.edges.values() if worker in (edge.source, edge.target))
        return (*own, *(edge for edges in sums for edge in edges))

    def __repr__(self) -> str:
        return "\n".join(f"{position:4d}  {describe(step)}" for position, step in enumerate(self.steps))


def describe(step: Step) -> str:
    """One line for one step: phase, who, what, and when if not always."""
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
    """A worker's half of a transfer: it may run ahead, for it does not wait."""

    edge: Edge
    slot: Slot
    when: When


@dataclass(frozen=True)
class Receive:
    """The other half: it waits, at the transfer's own position."""

    edge: Edge
    slot: Slot
    when: When


LocalAction: TypeAlias = LocalStep | Send | Receive


def project(schedule: Schedule, worker: str) -> tuple[LocalAction, ...]:
    """The local program of one worker: its own steps in the schedule's order.

    A send, a cut, and a contribution to a sum is hoisted to just behind the step that made its value. That cannot
    deadlock: none of them waits, and of all that do, the one earliest in the total order has its value made by steps
    before it, which nobody blocks. Replicas contribute in one order: that in which their values are made.
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
                behind += 1  # sends of one step leave in the order in which they are awaited
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
    """One line for one action of a worker."""
    match action:
        case Send():
            return f"send {action.slot!r} to {action.edge.target}"
        case Receive():
            return f"receive {action.slot!r} from {action.edge.source}"
        case _:
            return describe(action)
