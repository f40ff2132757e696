"""A placement as a picture: workers as boxes, machines as frames, and arrows with the bytes that workers send."""

import hashlib
from dataclasses import dataclass, replace
from math import hypot
from xml.sax.saxutils import escape

from antiphon.analysis.placement_summary import Carries, PlacementSummary, Seat, Stream, bytes_text
from antiphon.pictures import lettering
from antiphon.pictures.geometry import Curve, Point, Rectangle
from antiphon.pictures.graphviz import HEAD, Placed, place
from antiphon.pictures.ink import Inkwell, attributes, group, num, rectangle
from antiphon.pictures.lettering import NAME, NOTE, TITLE
from antiphon.pictures.picture import Arrow, Line, Mark, MarkKind, Side
from antiphon.pictures.sizes import lines_of
from antiphon.pictures.strokes import label, stroke

MARGIN, TOP = 28.0, 70.0
DECK = 4.0
"""Offset in points between the boxes of successive replicas."""
SHOWN = 3
"""Maximum number of replicas drawn. The worker's name states their true number."""
LETTERS = 34
"""Maximum line length of a list, in letters."""
LINES = {Carries.VALUES: Line.ZEROTH, Carries.DERIVATIVES: Line.FIRST, Carries.PARAMETERS: Line.PARAMETERS}


@dataclass(frozen=True)
class PlacementSheet:
    """The finished layout of a page. (x, y): the position of the drawing. key: the entries of the legend."""

    summary: PlacementSummary
    placed: Placed
    x: float
    y: float
    key: tuple[tuple[Carries | str, Rectangle], ...]
    width: float
    height: float


def sheet_of(summary: PlacementSummary) -> PlacementSheet:
    """Lay out a page: a title, the drawing, and a legend."""
    placed = place(_side(summary), sideways=True)
    notes = [lettering.width(note, NOTE) for note in summary.notes]
    x, y = MARGIN, MARGIN + TOP
    wide = max(placed.paper.width, lettering.width(summary.title, TITLE), *notes, 420.0)
    key = _key(summary, wide, y + placed.paper.height + 26)
    bottom = max((box.bottom for _, box in key), default=y + placed.paper.height)
    shift = (wide - placed.paper.width) / 2
    return PlacementSheet(summary, placed, x + shift, y, key, wide + 2 * MARGIN, bottom + MARGIN)


def boxes(sheet: PlacementSheet) -> list[tuple[str, Rectangle]]:
    """The boxes of all workers with their replicas, of labels and of legend entries. A test checks for overlaps."""
    seats = {seat.workers[0]: seat for seat in sheet.summary.seats}
    found = [(name, _deck(seats[name], box)[-1]) for name, box in sheet.placed.marks.items()]
    found += [(f"label of {name}", box) for name, box in sheet.placed.labels.items()]
    moved = [(name, box.moved(sheet.x, sheet.y)) for name, box in found]
    return moved + [(f"key {what}", box) for what, box in sheet.key]


def svg_of(summary: PlacementSummary) -> str:
    """The placement as one SVG file without fonts. Equal placements give equal bytes."""
    sheet = sheet_of(summary)
    well = Inkwell("s" + hashlib.sha256(repr(summary).encode()).hexdigest()[:5])
    heading = [well.text(summary.title, TITLE, (MARGIN, MARGIN + 19), "start")]
    heading += [
        well.text(note, NOTE, (MARGIN, MARGIN + 37 + 14 * number), "start", "soft")
        for number, note in enumerate(summary.notes)
    ]
    body = [
        rectangle(Rectangle(0, 0, sheet.width, sheet.height), 0, attributes("paper")),
        group(heading, "heading"),
        _drawing(sheet, well),
        group([_entry(what, box, well) for what, box in sheet.key], "key"),
    ]
    size = f'width="{num(sheet.width)}" height="{num(sheet.height)}"'
    view = f'viewBox="0 0 {num(sheet.width)} {num(sheet.height)}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} role="group"><title>{escape(summary.title)}</title>'
        f"<defs>{well.patterns}{well.glyphs}</defs>{''.join(body)}</svg>\n"
    )


def _side(summary: PlacementSummary) -> Side:
    machines = dict.fromkeys(seat.machine for seat in summary.seats if seat.machine)
    marks = tuple(
        Mark(seat.workers[0], MarkKind.OPERATOR, _lines(seat), frame=seat.machine, tip=_tip(seat))
        for seat in summary.seats
    )
    arrows = [_arrow(number, stream) for number, stream in enumerate(summary.streams)]
    arrows = tuple(
        replace(arrow, source=arrow.target, target=arrow.source) if _returns(stream, summary) else arrow
        for arrow, stream in zip(arrows, summary.streams, strict=True)
    )
    return Side("", "", True, marks, arrows, tuple((machine, machine) for machine in machines))


def _arrow(number: int, stream: Stream) -> Arrow:
    return Arrow(f"{number}", stream.source, stream.target, LINES[stream.carries], shape=bytes_text(stream.bytes))


def _returns(stream: Stream, summary: PlacementSummary) -> bool:
    """Whether the stream goes to a worker that is further left.

    Graphviz gets such arrows reversed, so that the graph has no cycles: inside frames it would draw the two arrows of
    a cycle on top of each other.
    """
    told = {each.target for each in summary.streams}
    order = sorted((seat.workers[0] for seat in summary.seats), key=lambda name: name in told)
    return order.index(stream.target) < order.index(stream.source)


def _turned(curve: Curve) -> Curve:
    """The curve in the opposite direction, shortened to leave room for the arrowhead."""
    *front, a, b, c, d = (curve.end, *reversed(curve.points[:-1]))
    rest = min(HEAD / max(hypot(d[0] - a[0], d[1] - a[1]), HEAD), 0.5)

    def between(one: Point, other: Point) -> Point:
        return one[0] + (other[0] - one[0]) * (1 - rest), one[1] + (other[1] - one[1]) * (1 - rest)

    ab, bc, cd = between(a, b), between(b, c), between(c, d)
    abc, bcd = between(ab, bc), between(bc, cd)
    return Curve((*front, a, ab, abc, between(abc, bcd)), d)


def _lines(seat: Seat) -> tuple[str, ...]:
    inside = [*seat.hosts, *(f"agent of {player}" for player in seat.agents)]
    own = inside if inside != [seat.workers[0]] else []
    summed = [f"sum over all: {bytes_text(seat.summed)}"] if seat.summed else []
    return (seat.name, *_wrapped(own), *seat.asks, *summed)


def _wrapped(words: list[str]) -> list[str]:
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + len(word) < LETTERS:
            lines[-1] += f", {word}"
        else:
            lines += [word]
    return [f"{line}," for line in lines[:-1]] + lines[-1:]


def _tip(seat: Seat) -> str:
    asks = "; ".join(seat.asks) or "nothing"
    return f"{', '.join(seat.workers)}: {', '.join(_lines(seat)[1:])}; asks for {asks}"


def _drawing(sheet: PlacementSheet, well: Inkwell) -> str:
    placed, seats = sheet.placed, {seat.workers[0]: seat for seat in sheet.summary.seats}
    found = [rectangle(box, 8, attributes("none", "faint", 1.4)) for box in placed.frames.values()]
    for name, box in placed.frames.items():
        plate = Rectangle(box.x + 9, box.y + 5, lettering.width(name, NOTE) + 6, 15)
        found += [rectangle(plate, 2, attributes("paper"))]
        found += [well.text(name, NOTE, (box.x + 12, box.y + 16), "start", "soft")]
    for mark in placed.side.marks:
        found.append(group(_worker(mark, seats[mark.id], placed.marks[mark.id], well), "mark", mark.tip, id=mark.id))
    for number, stream in enumerate(sheet.summary.streams):
        curve = placed.curves[f"{number}"]
        drawn = stroke(_arrow(number, stream), _turned(curve) if _returns(stream, sheet.summary) else curve, well)
        found.append(group(drawn, "arrow", source=stream.source, target=stream.target))
    for arrow in placed.side.arrows:
        if arrow.id in placed.labels:
            found += label(arrow, placed.labels[arrow.id], well)
    return f'<g transform="translate({num(sheet.x)} {num(sheet.y)})">{"".join(found)}</g>'


def _deck(seat: Seat, box: Rectangle) -> list[Rectangle]:
    """The boxes of a worker's drawn replicas, front first, and then the box around all of them."""
    cards = [
        Rectangle(box.x + DECK * card, box.y - DECK * card, box.width - 2 * DECK * card, box.height)
        for card in range(min(len(seat.workers), SHOWN))
    ]
    return [*cards, Rectangle(box.x, cards[-1].y, box.width, box.bottom - cards[-1].y)]


def _worker(mark: Mark, seat: Seat, box: Rectangle, well: Inkwell) -> list[str]:
    """Draw a worker. Replicas look like a stack of cards; a worker that hosts only agents is dashed."""
    *cards, _ = _deck(seat, box)
    paint = attributes("paper", "ink", 1.4, "4 3") if not seat.hosts else attributes("player", "ink", 1.4)
    found = [rectangle(card, 5, paint) for card in reversed(cards)]
    lines = lines_of(mark)
    top = box.center[1] - sum(line.style.height for line in lines) / 2
    for line in lines:
        middle = box.center[0], top + line.style.height / 2
        found.append(well.centered(line.text, line.style, middle, "ink" if line.style is NAME else "soft"))
        top += line.style.height
    return found


SAMPLE, APART, STACK = 34.0, "agents apart", "replicas"


def _key(summary: PlacementSummary, wide: float, top: float) -> tuple[tuple[Carries | str, Rectangle], ...]:
    carried = {stream.carries for stream in summary.streams}
    shown: list[Carries | str] = [each for each in Carries if each in carried]
    shown += [APART] if any(not seat.hosts for seat in summary.seats) else []
    shown += [STACK] if any(len(seat.workers) > 1 for seat in summary.seats) else []
    found: list[tuple[Carries | str, Rectangle]] = []
    x, y = MARGIN, top
    for what in shown:
        width = SAMPLE + 6 + lettering.width(str(what), NOTE)
        if x > MARGIN and x + width > MARGIN + wide:
            x, y = MARGIN, y + 26
        found.append((what, Rectangle(x, y, width, 18)))
        x += width + 18
    return tuple(found)


def _entry(what: Carries | str, box: Rectangle, well: Inkwell) -> str:
    y, sample = box.center[1], Rectangle.around((box.x + SAMPLE / 2, box.center[1]), 28, 15)
    said = well.text(str(what), NOTE, (box.x + SAMPLE + 6, y + 3.6), "start", "soft")
    if isinstance(what, Carries):
        points = tuple((box.x + (SAMPLE - 10) * third / 3, y) for third in range(4))
        return "".join(stroke(Arrow("", "", "", LINES[what]), Curve(points, (box.x + SAMPLE - 2, y)), well)) + said
    if what == APART:
        return rectangle(sample, 5, attributes("paper", "ink", 1.4, "4 3")) + said
    behind = Rectangle(sample.x + DECK, sample.y - DECK, sample.width - 2 * DECK, sample.height)
    return "".join(rectangle(each, 5, attributes("player", "ink", 1.4)) for each in (behind, sample)) + said
