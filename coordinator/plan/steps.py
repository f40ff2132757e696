"""The steps of a round, as data: the values that a worker reads and makes, and the messages between workers."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from antiphon.grammars.query import Port
from antiphon.grammars.response import PARAMETERS
from antiphon.grammars.when import When
from antiphon.transport.message import Edge, Phase, Reduction

VOTE = -2
"""The port index of a vote on whether the round is skipped. The node is the worker; "" for the sum of all votes."""


@dataclass(frozen=True, slots=True)
class Share:
    """One part of a value: a slice of its batch, or one term of a sum of gradients.

    A replica computes one part of every value, and a micro-batch is a part of the round's batch.
    index: position of the replica in its group, or of the micro-batch in the round. of: number of parts.

    >>> [Share(index, 3).rows(8) for index in range(3)]
    [(0, 2), (2, 5), (5, 8)]
    """

    index: int
    of: int

    def rows(self, batch: int) -> tuple[int, int]:
        """Return the index of the first row of this slice, and the index after its last row.

        batch: rows of the whole value.
        """
        return self.index * batch // self.of, (self.index + 1) * batch // self.of

    def shape(self, whole: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of this slice. whole: shape of the whole value."""
        first, behind = self.rows(whole[0])
        return (behind - first, *whole[1:])


@dataclass(frozen=True, slots=True)
class Slot:
    """Identifies a value of a round, or a part of it: an output of a graph's node, or the parameters of a player.

    phase, port: QUERY and an output of a Query graph node, RESPONSE and an output of a Response graph node, or MOVE and
    a player. microbatch: the micro-batch that the value belongs to; None for the value of the whole round. share: the
    part of one replica in that value; None for the value of all replicas. Different parts of a value have different
    slots, and so different edge numbers.
    """

    phase: Phase
    port: Port
    share: Share | None = None
    microbatch: Share | None = None

    @property
    def whole(self) -> "Slot":
        """The slot of the same value over all replicas, in the same micro-batch."""
        return replace(self, share=None)

    @property
    def total(self) -> "Slot":
        """The slot of the same value over all micro-batches, on the same replica."""
        return replace(self, microbatch=None)

    @property
    def part(self) -> Share | None:
        """Which part of a larger value this slot holds, a replica's or a micro-batch's; None for a whole value."""
        return self.share or self.microbatch

    @property
    def parent(self) -> "Slot":
        """The slot of the value that contains this part: the value over all replicas, else over all micro-batches."""
        return self.whole if self.share else self.total

    def shape(self, whole: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the value in this slot. whole: shape of the value over all replicas and micro-batches."""
        for part in (self.microbatch, self.share):
            whole = part.shape(whole) if part else whole
        return whole

    def __repr__(self) -> str:
        if self.port.index == VOTE:
            return f"vote[{self.port.node}]"
        kind = {Phase.QUERY: "Q", Phase.RESPONSE: "R", Phase.MOVE: "move"}[self.phase]
        port = f"{self.port.node}.parameters" if self.port.index == PARAMETERS else repr(self.port)
        share = f"#{self.share.index} of {self.share.of}" if self.share else ""
        return f"{kind}[{port}{share}{_batch(self.microbatch.index if self.microbatch else None)}]"


@dataclass(frozen=True, kw_only=True)
class _Local:
    """The fields of every step on one worker: the values that it reads and makes, and the rounds in which it is due.

    delay: how many rounds late the step is played, if rounds overlap. While steps without a delay play round t, this
    step plays round t - delay.
    """

    worker: str
    when: When
    reads: tuple[Slot, ...] = ()
    writes: tuple[Slot, ...] = ()
    delay: int = 0

    @property
    def phase(self) -> Phase:
        """The phase of the step's values. A step without values belongs to the phase MOVE."""
        slots = self.writes or self.reads
        return slots[0].phase if slots else Phase.MOVE

    @property
    def microbatch(self) -> int | None:
        """The index of the micro-batch of the step's values; None if they belong to the whole round."""
        slots = self.writes or self.reads
        return slots[0].microbatch.index if slots and slots[0].microbatch else None


@dataclass(frozen=True)
class Query(_Local):
    """A step that computes one node of the Query graph on one worker.

    age: the query of round t uses the parameters that its player or clone had at the start of round t - age. None for
    a query without parameters: to an oracle, an operator or a loss.
    """

    node: str
    age: int | None = None


def share_of_batch(step: "Query | Respond") -> Share | None:
    """Return the micro-batch that a step computes; None if it computes the whole round's batch."""
    return step.writes[0].microbatch if step.writes else None


class Part(StrEnum):
    """Which gradients a response step computes.

    WHOLE: all. UPSTREAM: the gradients of the inputs. OWN: the gradient of the player's parameters. UPSTREAM comes
    before OWN, because other workers wait for the gradients of the inputs.
    """

    WHOLE = "whole"
    UPSTREAM = "upstream"
    OWN = "own"


@dataclass(frozen=True)
class Respond(_Local):
    """A step that computes one node of the Response graph, or a part of its outputs, on one worker.

    A node of the kind `Deliver` gives its message to the agent of a player.
    """

    node: str
    part: Part = Part.WHOLE


@dataclass(frozen=True)
class Move(_Local):
    """A step in which a player's agent updates the parameters. Moves come after all responses of the round."""

    player: str


@dataclass(frozen=True)
class Install(_Local):
    """A step that puts new parameters into a player's operator. They come from the player's agent on another worker."""

    player: str


@dataclass(frozen=True)
class Follow(_Local):
    """A step that updates the parameters of a clone (such as a target network) from its player, after all moves."""

    clone: str


@dataclass(frozen=True)
class Cut(_Local):
    """A step that takes the slice of a batch that belongs to one micro-batch or to one replica."""


@dataclass(frozen=True)
class Join(_Local):
    """A step that concatenates the slices of a value, on a worker that needs the whole value."""


@dataclass(frozen=True)
class Accumulate(_Local):
    """A step that adds the term of one micro-batch to a sum over the round. The last micro-batch's step writes the sum.

    The terms are added in the order of the micro-batches, so the sum has the same bits in every order of steps.
    """

    @property
    def microbatch(self) -> int | None:
        """The index of the micro-batch whose term is added."""
        return self.reads[0].microbatch.index if self.reads[0].microbatch else None


@dataclass(frozen=True)
class Contribute(_Local):
    """A step that gives one replica's term to an all-reduce. It does not wait for other replicas."""

    reduction: Reduction


@dataclass(frozen=True)
class Collect(_Local):
    """A step that receives the result of an all-reduce, on one replica.

    It waits for the contributions of all replicas, which are earlier steps.
    """

    reduction: Reduction


@dataclass(frozen=True)
class Vote(_Local):
    """A step of the vote on whether a round is skipped, after all responses and before the first delivery to a player.

    Without `reads`, a worker votes: it writes the number of NaN and infinite values that it found. With `reads` and
    `writes`, one worker adds the votes. Without `writes`, a worker reads the sum and decides.
    """


@dataclass(frozen=True)
class _Carried:
    """The fields of `Transfer`, `Send` and `Receive`: an edge, the value on it, and the rounds in which it is due.

    delay: how many rounds late the message is sent, if rounds overlap. While steps without a delay play round t, the
    message of round t - delay is sent.
    """

    edge: Edge
    slot: Slot
    when: When
    delay: int = 0

    @property
    def phase(self) -> Phase:
        """The phase of the edge: QUERY, RESPONSE or MOVE."""
        return self.edge.phase

    @property
    def microbatch(self) -> int | None:
        """The index of the micro-batch of the value; None for a value of the whole round."""
        return self.slot.microbatch.index if self.slot.microbatch else None


@dataclass(frozen=True)
class Transfer(_Carried):
    """A step that sends a value from one worker to another.

    In the schedule, sending and receiving are this one step.
    """

    @property
    def workers(self) -> tuple[str, str]:
        """The sending worker and the receiving worker."""
        return self.edge.source, self.edge.target


@dataclass(frozen=True)
class Send(_Carried):
    """The sending half of a transfer, on the source worker. It does not wait for the receiver."""


@dataclass(frozen=True)
class Receive(_Carried):
    """The receiving half of a transfer, on the target worker. It waits until the message has arrived."""


LocalStep: TypeAlias = Query | Respond | Move | Install | Follow | Cut | Join | Accumulate | Contribute | Collect | Vote
Step: TypeAlias = LocalStep | Transfer
LocalAction: TypeAlias = LocalStep | Send | Receive


def describe(step: Step | LocalAction) -> str:
    """Return one line of text for a step: its phase, worker and action, and its condition unless it is always due.

    If rounds overlap, the text says how old a query's parameters are, and how many rounds late a step is played.
    """
    late = f", {_rounds(step.delay)} late" if step.delay else ""
    if isinstance(step, Send):
        return f"send {step.slot!r} to {step.edge.target}{late}"
    if isinstance(step, Receive):
        return f"receive {step.slot!r} from {step.edge.source}{late}"
    age = f" with parameters {_rounds(step.age)} old" if isinstance(step, Query) and step.age else ""
    when = age + late + ("" if not step.when.clauses else f"   [{step.when!r}]")
    where = f"{step.edge.source} -> {step.edge.target}" if isinstance(step, Transfer) else step.worker
    return f"{step.phase.name.lower():8s} {where}: {_act(step)}{when}"


def _act(step: Step) -> str:
    match step:
        case Transfer(slot=slot):
            return repr(slot)
        case Query(node=node):
            return f"{node}{_batch(step.microbatch)}"
        case Respond(node=node, part=part):
            return f"{node}{'' if part is Part.WHOLE else f' ({part})'}{_batch(step.microbatch)}"
        case Move(player=player):
            return f"{player} moves"
        case Install(player=player):
            return f"{player} takes up its parameters"
        case Follow(clone=clone):
            return f"{clone} follows"
        case Cut() | Join() | Collect():
            return f"{type(step).__name__.lower()} {step.writes[0]!r}"
        case Accumulate() | Contribute():
            return f"{type(step).__name__.lower()} {step.reads[0]!r}"
        case Vote():
            return f"vote {(step.writes or step.reads)[0]!r}"


def _batch(microbatch: int | None) -> str:
    return "" if microbatch is None else f", micro-batch {microbatch}"


def _rounds(count: int) -> str:
    return f"{count} round{'' if count == 1 else 's'}"
