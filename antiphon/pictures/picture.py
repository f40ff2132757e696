"""A picture as a value: drawn nodes (marks) and arrows, without positions. Every output format is made from it."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class MarkKind(StrEnum):
    """The kind of a mark (a drawn node of a picture). The last three kinds are in pictures of placements only.

    Each kind has its own shape, so that pictures do not need colour (docs/pictures.md).
    """

    PLAYER = "player"
    CLONE = "clone"
    BLACK = "black box"
    GRAY = "gray box"
    NOISE = "noise"
    OPERATOR = "operator"
    SCAN = "scan"
    LOSS = "loss"
    SEED = "seed"
    PRODUCT = "product"
    THROUGH_TIME = "product through time"
    TRUNCATED = "truncated product"
    TAP = "tap"
    MINUS = "minus"
    SUM = "sum"
    SCALE = "scale"
    MATRIX = "fixed matrix"
    MAP = "map"
    BYPASS = "bypass"
    BROADCAST = "broadcast"
    CUT = "cut"
    FROZEN = "frozen"
    HELD = "held"
    WORKER = "worker"
    REPLICAS = "replicas"
    AGENTS = "remote agents"


class Line(StrEnum):
    """The kind of data that an arrow of a picture stands for. It determines the line style."""

    ZEROTH = "zeroth order"
    FIRST = "first order"
    PARAMETERS = "parameters"
    CUT = "cut"


class Change(StrEnum):
    """How a mark (drawn node) or an arrow differs from another grammar, in a picture that compares two grammars."""

    SAME = "same"
    ADDED = "added"
    REMOVED = "removed"
    OTHER = "other"

    @property
    def sign(self) -> str:
        """The sign that is drawn at a mark or an arrow to show the difference; "" for `SAME`."""
        return {Change.SAME: "", Change.ADDED: "+", Change.REMOVED: "×", Change.OTHER: "≠"}[self]


@dataclass(frozen=True)
class Mark:
    """A drawn node of a picture, such as a player, an operator or a loss.

    id: unique in the picture; corresponding marks of two compared grammars have the same id.
    lines: lines of text in the mark, name first. sign: symbol in the mark, such as "+"; "" for none.
    beside: id of the mark next to which this mark must stand; "" for none. frame: id of the frame around this mark.
    what: two marks with equal ids are shown as different if this text differs.
    tip: a sentence that describes the mark, for the tooltip. owner: the player, clone, oracle or loss.
    asks: for a mark of the Response graph, the id of the mark of the Query graph whose value or derivative it uses.
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
    """An arrow of a picture, from the mark (drawn node) with the id `source` to the mark with the id `target`.

    line: the kind of data, which determines the line style. symbol, shape: the label, which names the value and its
    shape; "" for no label. returns: whether the arrow points backwards, against most other arrows of the graph.
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
        """The label of the arrow in one line; "" if it has none."""
        return f"{self.symbol} {self.shape}".strip()


@dataclass(frozen=True)
class Side:
    """One graph of a picture: the Query graph (Q), the Response graph (R), or the workers of a placement.

    letter, title: "Q" or "R" and a title; "" for a placement. upward: whether its arrows go upwards.
    marks: the drawn nodes. frames: (id, title) of frames around marks: around each pass of Q, or around each machine.
    """

    letter: str
    title: str
    upward: bool
    marks: tuple[Mark, ...]
    arrows: tuple[Arrow, ...]
    frames: tuple[tuple[str, str], ...] = ()

    @functools.cached_property
    def by_id(self) -> Mapping[str, Mark]:
        """All marks (drawn nodes) of this graph, by id."""
        return {mark.id: mark for mark in self.marks}


@dataclass(frozen=True)
class Picture:
    """The picture of a grammar or a placement: marks (drawn nodes) and arrows, without positions.

    subtitles: the lines below the title. sides: the Query graph and the Response graph of a grammar, or the graph of a
    placement. words: texts of the legend that replace the default names of kinds of marks, lines and differences.
    """

    title: str
    subtitles: tuple[str, ...]
    sides: tuple[Side, ...]
    words: Mapping[MarkKind | Line | Change, str] = field(default_factory=dict)

    @functools.cached_property
    def digest(self) -> str:
        """A hash of the picture. Ids in the SVG begin with it, so that several pictures can be on one HTML page."""
        marks = [(mark.id, mark.kind, mark.lines, mark.sign, mark.change) for mark in self.marks]
        arrows = [(each.id, each.line, each.symbol, each.shape, each.change) for each in self.arrows]
        return hashlib.sha256(repr((self.title, self.subtitles, marks, arrows)).encode()).hexdigest()

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The marks (drawn nodes) of all graphs in the picture."""
        return tuple(mark for side in self.sides for mark in side.marks)

    @property
    def arrows(self) -> tuple[Arrow, ...]:
        """The arrows of all graphs in the picture."""
        return tuple(arrow for side in self.sides for arrow in side.arrows)

    @property
    def key(self) -> tuple[MarkKind | Line | Change, ...]:
        """What the legend of this picture must explain: its kinds of marks, of arrows and of differences.

        The mark of a cut gradient is left out, because the legend explains its arrow.
        """
        kinds = {mark.kind for mark in self.marks} - {MarkKind.CUT}
        lines = {arrow.line for arrow in self.arrows}
        changes = {item.change for item in (*self.marks, *self.arrows)} - {Change.SAME}
        ordered = (MarkKind, kinds), (Line, lines), (Change, changes)
        return tuple(each for order, shown in ordered for each in order if each in shown)
