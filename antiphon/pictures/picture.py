"""A picture as a value, without positions. Every output format is made from it."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class MarkKind(StrEnum):
    """The meaning of a mark; the last three are of placements.

    Each kind has its own shape, so that colour is not needed (docs/pictures.md).
    """

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
    WORKER = "worker"
    REPLICAS = "replicas"
    AGENTS = "remote agents"


class Line(StrEnum):
    """The content of an arrow, which determines its line style."""

    ZEROTH = "zeroth order"
    FIRST = "first order"
    PARAMETERS = "parameters"
    CUT = "cut"


class Change(StrEnum):
    """How a mark or an arrow differs from the other grammar of a comparison."""

    SAME = "same"
    ADDED = "added"
    REMOVED = "removed"
    OTHER = "other"

    @property
    def sign(self) -> str:
        """The sign that is drawn at a mark or an arrow that differs; empty for `SAME`."""
        return {Change.SAME: "", Change.ADDED: "+", Change.REMOVED: "×", Change.OTHER: "≠"}[self]


@dataclass(frozen=True)
class Mark:
    """One item in a picture.

    id: unique in the picture; corresponding items of two grammars have the same id. lines: the text, name first.
    sign: the symbol inside the mark, if any. beside: id of the mark next to which this mark stands, if any. frame: id
    of the frame around the marks of one pass. what: text to compare: two marks with equal ids and different texts count
    as different. tip: a sentence that describes the mark. owner: the player, clone, oracle or loss of the mark. asks:
    for a mark of R, the id of the mark of Q whose value or derivative it uses.
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
    """An arrow from one mark to another. symbol, shape: the label, which describes the value; empty for no label.

    returns: whether the arrow points against the reading direction of its side.
    """

    id: str
    source: str
    target: str
    line: Line
    symbol: str = ""
    shape: str = ""
    change: Change = Change.SAME
    returns: bool = False

    @property
    def text(self) -> str:
        """The label in one line."""
        return f"{self.symbol} {self.shape}".strip()


@dataclass(frozen=True)
class Side:
    """One graph of a picture: Q, R, or the workers of a placement, which have no letter and no title.

    upward: whether it is read upwards. frames: id and title of the frame of each pass of Q, or of each machine.
    """

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
    """A grammar or a placement as marks and arrows. subtitles: the lines under the title.

    sides: Q and R of a grammar, or the workers of a placement. words: for the legend, where it does not say the name of
    a kind, an arrow or a difference itself.
    """

    title: str
    subtitles: tuple[str, ...]
    sides: tuple[Side, ...]
    words: Mapping[MarkKind | Line | Change, str] = field(default_factory=dict)

    @functools.cached_property
    def digest(self) -> str:
        """A hash of the drawn content. Ids in the SVG begin with it, so that several pictures can share a page."""
        marks = [(mark.id, mark.kind, mark.lines, mark.sign, mark.change) for mark in self.marks]
        arrows = [(each.id, each.line, each.symbol, each.shape, each.change) for each in self.arrows]
        return hashlib.sha256(repr((self.title, self.subtitles, marks, arrows)).encode()).hexdigest()

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The marks of all sides."""
        return tuple(mark for side in self.sides for mark in side.marks)

    @property
    def arrows(self) -> tuple[Arrow, ...]:
        """The arrows of all sides."""
        return tuple(arrow for side in self.sides for arrow in side.arrows)

    @property
    def key(self) -> tuple[MarkKind | Line | Change, ...]:
        """The kinds of marks, arrows and differences in this picture, which the legend explains.

        The mark of a cut is left out: the legend has the arrow of a cut.
        """
        kinds = {mark.kind for mark in self.marks} - {MarkKind.CUT}
        lines = {arrow.line for arrow in self.arrows}
        changes = {item.change for item in (*self.marks, *self.arrows)} - {Change.SAME}
        ordered = (MarkKind, kinds), (Line, lines), (Change, changes)
        return tuple(each for order, shown in ordered for each in order if each in shown)
