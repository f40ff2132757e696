"""A picture as a value: what is drawn, before anybody knows where. Every output is made of it."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a mark stands for. Each has a shape of its own, which needs no colour (docs/pictures.md)."""

    PLAYER = "player"
    CLONE = "clone"
    BLACK = "black box"
    GRAY = "gray box"
    NOISE = "noise"
    OPERATOR = "operator"
    LOSS = "loss"
    SEED = "seed"
    PRODUCT = "product"
    TAP = "tap"
    MINUS = "minus"
    SUM = "sum"
    SCALE = "scale"
    MATRIX = "fixed matrix"
    MAP = "map"
    BROADCAST = "broadcast"
    CUT = "cut"


class Line(StrEnum):
    """What an arrow carries, and so how it is drawn."""

    ZEROTH = "zeroth order"
    FIRST = "first order"
    PARAMETERS = "parameters"
    CUT = "cut"


class Change(StrEnum):
    """What became of a mark or an arrow, against another grammar."""

    SAME = "same"
    ADDED = "added"
    REMOVED = "removed"
    OTHER = "other"


@dataclass(frozen=True)
class Mark:
    """One thing in a picture.

    id: unique in the picture, the same for the same thing of two grammars. lines: the first is its name. sign: what
    stands inside a mark that is a sign. beside: the mark whose row it shares. frame: of the pass that it plays in.
    what: everything else that two equal marks share. tip: one sentence. owner: the player or clone that it is, or
    that is asked here. asks: the mark of Q that a mark of R asks for its derivative or its value.
    """

    id: str
    kind: Kind
    lines: tuple[str, ...] = ()
    sign: str = ""
    beside: str = ""
    frame: str = ""
    what: str = ""
    tip: str = ""
    owner: str = ""
    asks: str = ""
    change: Change = Change.SAME


@dataclass(frozen=True)
class Arrow:
    """From one mark to another. symbol, shape: of what travels; both empty where nothing is said."""

    id: str
    source: str
    target: str
    line: Line
    symbol: str = ""
    shape: str = ""
    change: Change = Change.SAME


@dataclass(frozen=True)
class Side:
    """Q or R. upward: which way it is read. frames: the passes, by id, with what is said of each."""

    letter: str
    title: str
    upward: bool
    marks: tuple[Mark, ...]
    arrows: tuple[Arrow, ...]
    frames: tuple[tuple[str, str], ...] = ()

    @functools.cached_property
    def by_id(self) -> Mapping[str, Mark]:
        """Every mark by its id."""
        return {mark.id: mark for mark in self.marks}


@dataclass(frozen=True)
class Picture:
    """A grammar as marks and arrows. title: its name; subtitles: lines under it.

    against: the name of the other grammar, where it shows what differs.
    """

    title: str
    subtitles: tuple[str, ...]
    query: Side
    response: Side
    against: str = ""

    @functools.cached_property
    def digest(self) -> str:
        """Of all that is drawn: ids on a page that several pictures share begin with it."""
        marks = [(mark.id, mark.kind, mark.lines, mark.sign, mark.change) for side in self.sides for mark in side.marks]
        arrows = [(each.id, each.line, each.symbol, each.shape, each.change) for s in self.sides for each in s.arrows]
        return hashlib.sha256(repr((self.title, self.subtitles, marks, arrows)).encode()).hexdigest()

    @property
    def sides(self) -> tuple[Side, Side]:
        """Q, then R."""
        return self.query, self.response

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of marks that it shows, in the order of their declaration."""
        shown = {mark.kind for side in self.sides for mark in side.marks}
        return tuple(kind for kind in Kind if kind in shown and kind is not Kind.CUT)  # its arrow says it

    @property
    def lines(self) -> tuple[Line, ...]:
        """The kinds of arrows that it shows, likewise."""
        shown = {arrow.line for side in self.sides for arrow in side.arrows}
        return tuple(line for line in Line if line in shown)

    @property
    def changes(self) -> tuple[Change, ...]:
        """What differs, if it was drawn against another."""
        found = {item.change for side in self.sides for item in (*side.marks, *side.arrows)}
        return tuple(change for change in Change if change in found and change is not Change.SAME)
