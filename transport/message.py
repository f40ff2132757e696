"""The data that identify a message (edge, session, round, type), and the check of an arriving message."""

import math
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, NamedTuple, Protocol

import torch

from antiphon.errors import ProtocolError, ShapeError

VERSION = 4
"""Version of the wire format. A frame of another version is refused."""


class Phase(IntEnum):
    """The part of a round to which a message belongs: queries, responses or moves."""

    QUERY = 0
    RESPONSE = 1
    MOVE = 2


class _Sized(Protocol):
    """The dtype and shape of the values on an edge or in an all-reduce."""

    __slots__ = ()
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """The size of one value, in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Edge(_Sized):
    """One edge of a schedule: everything about its messages that is the same in every round.

    number: unique in the schedule. name: name for display, e.g. "Actor.0 -> Critic". source, target: names of workers.
    order: "zeroth" for values, "first" for gradients. shape: concrete sizes, in elements.
    """

    number: int
    name: str
    source: str
    target: str
    phase: Phase
    order: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    def peer(self, me: str) -> str:
        """Return the worker at the other end of this edge. me: the worker at this end."""
        return self.target if me == self.source else self.source


@dataclass(frozen=True, slots=True)
class Reduction(_Sized):
    """An all-reduce: a sum of one value over replicas, which every replica gets.

    number: unique in the schedule. It is also the first of len(workers) ** 2 numbers that are reserved for the edges
    between the replicas; channels without an all-reduce of their own use these edges. workers: the replicas, in order.
    shape: shape of each term.
    """

    number: int
    name: str
    workers: tuple[str, ...]
    phase: Phase
    order: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    def edges_of(self, worker: str) -> tuple[Edge, ...]:
        """Return the edges between `worker` and each other worker of this all-reduce, in both directions.

        The edges between all workers are never listed: their number grows with the square of the number of workers.
        """
        mine = self.workers.index(worker)
        others = [other for other in range(len(self.workers)) if other != mine]
        return tuple(self._edge(*pair) for other in others for pair in ((mine, other), (other, mine)))

    def _edge(self, source: int, target: int) -> Edge:
        number, name = self.number + source * len(self.workers) + target, f"{self.name} -> {self.workers[target]}"
        kind = self.phase, self.order, self.dtype, self.shape
        return Edge(number, name, self.workers[source], self.workers[target], *kind)


@dataclass(frozen=True, slots=True)
class Session:
    """The data that all workers of a run share until they connect anew.

    signature: sha256 of the grammar, hexadecimal. generation: grows by one each time the workers connect. deadline:
    seconds that each wait may last. secret: key with which the workers of a run authenticate each other; empty if no
    other process could interfere. checksum: which messages carry a CRC32C of their bytes: all, none, or those that may
    cross a network.
    """

    signature: str
    generation: int
    deadline: float
    secret: bytes = field(default=b"", repr=False)
    checksum: bool | Literal["between-machines"] = "between-machines"

    def __post_init__(self) -> None:
        if len(self.signature) < 16 or set(self.signature) - set("0123456789abcdef"):
            raise ProtocolError(
                f"a session's signature is {self.signature!r}; expected at least 16 lower-case hexadecimal digits. "
                "Pass the grammar's signature."
            )

    @property
    def prefix(self) -> str:
        """The part of the signature that is sent: 16 hexadecimal digits, 8 bytes."""
        return self.signature[:16]


class Tag(NamedTuple):
    """The five fields that identify a message. The receiver refuses a message if a field is not as expected."""

    signature: str
    generation: int
    round: int
    phase: int
    edge: int

    @classmethod
    def of(cls, session: Session, edge: Edge, round: int) -> "Tag":
        """Return the tag of the message that is sent on `edge` in this session and round."""
        return cls(session.prefix, session.generation, round, int(edge.phase), edge.number)

    def __str__(self) -> str:
        return (
            f"signature {self.signature}, generation {self.generation}, round {self.round}, "
            f"{phase_name(self.phase)} phase, edge {self.edge}"
        )


@dataclass(frozen=True, slots=True)
class Header:
    """The tag of a message and the type of its value. In a frame, the header stands before the bytes of the value."""

    version: int
    tag: Tag
    order: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @classmethod
    def of(cls, session: Session, edge: Edge, round: int) -> "Header":
        """Return the header of the message that is sent on `edge` in this session and round."""
        return cls(VERSION, Tag.of(session, edge, round), edge.order, edge.dtype, edge.shape)


def phase_name(phase: int) -> str:
    """Return the name of a phase, or "unknown (number)" for a number that is not a phase."""
    return Phase(phase).name.lower() if phase in tuple(Phase) else f"unknown ({phase})"


def value_type(dtype: torch.dtype | None, shape: tuple[int, ...]) -> str:
    """Return dtype and shape of a value as text. dtype: None for several dtypes.

    >>> value_type(torch.float32, (7, 3))
    'float32[7, 3]'
    """
    return f"{str(dtype or 'mixed').removeprefix('torch.')}[{', '.join(map(str, shape))}]"


def expect(arrived: Tag | Header, session: Session, edge: Edge, round: int) -> None:
    """Raise an error unless `arrived` is the tag or header of the message due on `edge` in this session and round.

    Raises ProtocolError for another tag, and ShapeError for the right tag with a value of another type.
    """
    tag = arrived if isinstance(arrived, Tag) else arrived.tag
    expected = Tag.of(session, edge, round)
    if tag != expected:
        kind, remedy = _fault(tag, expected)
        raise ProtocolError(
            f"worker {edge.target!r} refused a {kind} message from worker {edge.source!r} on edge {edge.name!r}: "
            f"expected {expected}; arrived {tag}. {remedy}"
        )
    if isinstance(arrived, Header):
        _expect_type(arrived, edge)


def _expect_type(arrived: Header, edge: Edge) -> None:
    if (arrived.order, arrived.dtype, arrived.shape) == (edge.order, edge.dtype, edge.shape):
        return
    raise ShapeError(
        f"worker {edge.target!r} and worker {edge.source!r} disagree on edge {edge.name!r}: "
        f"expected {edge.order} order {value_type(edge.dtype, edge.shape)}; "
        f"arrived {arrived.order} order {value_type(arrived.dtype, arrived.shape)}. "
        "Compile one schedule, with one set of sizes, for all workers."
    )


def _fault(arrived: Tag, expected: Tag) -> tuple[str, str]:
    """Return the kind of error in an arrived tag, and its remedy.

    If several fields differ, the most likely cause is chosen.
    """
    if arrived.signature != expected.signature:
        return "foreign", "It belongs to another grammar: launch all workers with the same grammar."
    if arrived.generation < expected.generation:
        return "late", "It was sent before the last regrouping: close all channels of the old generation first."
    if arrived.generation > expected.generation:
        return "early", "This worker missed a regrouping: open its channel in the new generation."
    if arrived.edge != expected.edge or arrived.phase != expected.phase:
        return "foreign", "It belongs to another edge: project all workers from the same schedule."
    if arrived.round < expected.round:
        return "duplicate or late", "An edge carries one message a round: restore all workers from the same checkpoint."
    return "early", "A message before it was lost or skipped: restore all workers from the same checkpoint."
