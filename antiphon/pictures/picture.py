"""A picture as a value, without positions. Every output format is made from it."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class MarkKind(StrEnum):
    """The meaning of a mark. Each kind has its own shape, so that colour is not needed (docs/pictures.md)."""

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
    """The content of an arrow, which determines its line style."""

    ZEROTH = "zeroth order"
    FIRST = "first order"
    PARAMETERS = "parameters"
    CUT = "cut"


class Change(StrEnum):
    """The difference of a mark or an arrow from another grammar."""

    SAME = "same"
    ADDED = "added"
    REMOVED = "removed"
    OTHER = "other"


@dataclass(frozen=True)
class Mark:
    """One item in a picture.

    id: unique in the picture; corresponding items of two grammars have the same id. lines: the text, name first.
    sign: the symbol inside a mark that has one. beside: id of the mark in whose row it stands. frame: id of its pass.
    what: further content that must be equal in equal marks. tip: a sentence that describes the mark. owner: the player,
    clone, oracle or loss of the mark. asks: for a mark of R, the mark of Q whose value or derivative it uses.
    """

    id: str
    kind: MarkKind
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
    """An arrow from one mark to another. symbol, shape: of the value it carries; empty for no label."""

    id: str
    source: str
    target: str
    line: Line
    symbol: str = ""
    shape: str = ""
    change: Change = Change.SAME


@dataclass(frozen=True)
class Side:
    """One graph of a picture, Q or R. upward: whether it is read upwards. frames: id and title of each pass."""

    letter: str
    title: str
    upward: bool
    marks: tuple[Mark, ...]
    arrows: tuple[Arrow, ...]
    frames: tuple[tuple[str, str], ...] = ()

    @functools.cached_property
    def by_id(self) -> Mapping[str, Mark]:
        """All marks by id."""
        return {mark.id: mark for mark in self.marks}


@dataclass(frozen=True)
class Picture:
    """A grammar as marks and arrows. title: the grammar's name. subtitles: the lines under the title.

    against: the name of the other grammar if the picture shows differences; otherwise empty.
    """

    title: str
    subtitles: tuple[str, ...]
    query: Side
    response: Side
    against: str = ""

    @functools.cached_property
    def digest(self) -> str:
        """A hash of the drawn content. Ids in the SVG begin with it, so that several pictures can share a page."""
        marks = [(mark.id, mark.kind, mark.lines, mark.sign, mark.change) for side in self.sides for mark in side.marks]
        arrows = [(each.id, each.line, each.symbol, each.shape, each.change) for s in self.sides for each in s.arrows]
        return hashlib.sha256(repr((self.title, self.subtitles, marks, arrows)).encode()).hexdigest()

    @property
    def sides(self) -> tuple[Side, Side]:
        """Q, then R."""
        return self.query, self.response

    @property
    def kinds(self) -> tuple[MarkKind, ...]:
        """The kinds of marks in the picture, in the order of `MarkKind`; without cuts, which the arrows show."""
        shown = {mark.kind for side in self.sides for mark in side.marks}
        return tuple(kind for kind in MarkKind if kind in shown and kind is not MarkKind.CUT)  # its arrow shows it

    @property
    def lines(self) -> tuple[Line, ...]:
        """The kinds of arrows in the picture, in the order of `Line`."""
        shown = {arrow.line for side in self.sides for arrow in side.arrows}
        return tuple(line for line in Line if line in shown)

    @property
    def changes(self) -> tuple[Change, ...]:
        """The kinds of differences in the picture; empty without another grammar."""
        found = {item.change for side in self.sides for item in (*side.marks, *side.arrows)}
        return tuple(change for change in Change if change in found and change is not Change.SAME)
