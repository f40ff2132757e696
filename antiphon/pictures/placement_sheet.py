"""A placement as a picture: workers as boxes, machines as frames, and arrows with the bytes that workers send."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from antiphon.analysis.placement_summary import Carries, PlacementSummary, Seat, Stream, bytes_text
from antiphon.pictures import lettering
from antiphon.pictures.geometry import Curve, Rectangle
from antiphon.pictures.graphviz import Placed, place
from antiphon.pictures.ink import Inkwell, attributes, group, num, rectangle
from antiphon.pictures.lettering import NOTE, TITLE
from antiphon.pictures.picture import Arrow, Line, Mark, MarkKind, Side
from antiphon.pictures.sheet import MARGIN, SAMPLE, Entry, wrapped
from antiphon.pictures.sizes import lines_of
from antiphon.pictures.strokes import label, stroke

TOP = 70.0
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
    key: tuple[Entry, ...]
    width: float
    height: float


def sheet_of(summary: PlacementSummary) -> PlacementSheet:
    """Lay out a page: a title, the drawing, and a legend."""
    placed = place(_side(summary), sideways=True)
    notes = [lettering.width(note, NOTE) for note in summary.notes]
    x, y = MARGIN, MARGIN + TOP
    wide = max(placed.paper.width, lettering.width(summary.title, TITLE), *notes, 420.0)
    key = wrapped(_legend(summary), wide, y + placed.paper.height + 26)
    bottom = max((entry.box.bottom for entry in key), default=y + placed.paper.height)
    shift = (wide - placed.paper.width) / 2
    return PlacementSheet(summary, placed, x + shift, y, key, wide + 2 * MARGIN, bottom + MARGIN)


def boxes(sheet: PlacementSheet) -> list[tuple[str, Rectangle]]:
    """Return name and box of all workers with their replicas, labels and legend entries. A test checks for overlaps."""
    seats = {seat.workers[0]: seat for seat in sheet.summary.seats}
    found = [(name, _deck(seats[name], box)[-1]) for name, box in sheet.placed.marks.items()]
    found += [(f"label of {name}", box) for name, box in sheet.placed.labels.items()]
    moved = [(name, box.moved(sheet.x, sheet.y)) for name, box in found]
    return moved + [(f"key {entry.what}", entry.box) for entry in sheet.key]


def svg_of(summary: PlacementSummary) -> str:
    """Return the placement as one SVG file without fonts. Equal placements give equal bytes."""
    sheet = sheet_of(summary)
    well = Inkwell("s" + hashlib.sha256(repr(summary).encode()).hexdigest()[:5])
    body = [
        group(well.heading(summary.title, summary.notes, MARGIN), "heading"),
        _drawing(sheet, well),
        group([_sample(entry, well) + entry.words(well) for entry in sheet.key], "key"),
    ]
    return well.page(summary.title, sheet.width, sheet.height, body)


def _side(summary: PlacementSummary) -> Side:
    machines = dict.fromkeys(seat.machine for seat in summary.seats if seat.machine)
    marks = tuple(
        Mark(seat.workers[0], MarkKind.OPERATOR, _lines(seat), frame=seat.machine, tip=_tip(seat))
        for seat in summary.seats
    )
    arrows = tuple(
        Arrow(f"{number}", each.source, each.target, LINES[each.carries], "", bytes_text(each.bytes), returns=returns)
        for number, (each, returns) in enumerate(_streams(summary))
    )
    return Side("", "", True, marks, arrows, tuple((machine, machine) for machine in machines))


def _streams(summary: PlacementSummary) -> Iterator[tuple[Stream, bool]]:
    """Yield every stream of traffic, and whether its target is before its source in the order of the workers.

    Workers that receive nothing come first in this order.
    """
    receiving = {each.target for each in summary.streams}
    order = sorted((seat.workers[0] for seat in summary.seats), key=lambda name: name in receiving)
    for each in summary.streams:
        yield each, order.index(each.target) < order.index(each.source)


def _lines(seat: Seat) -> tuple[str, ...]:
    own = seat.contents if seat.contents != [seat.workers[0]] else []
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
        found += well.plate(name, box)
    for mark in placed.side.marks:
        found.append(group(_worker(mark, seats[mark.id], placed.marks[mark.id], well), "mark", mark.tip, id=mark.id))
    for arrow in placed.side.arrows:
        drawn = stroke(arrow, placed.curves[arrow.id], well)
        found.append(group(drawn, "arrow", source=arrow.source, target=arrow.target))
    for arrow in placed.side.arrows:
        if arrow.id in placed.labels:
            found += label(arrow, placed.labels[arrow.id], well)
    return f'<g transform="translate({num(sheet.x)} {num(sheet.y)})">{"".join(found)}</g>'


def _deck(seat: Seat, box: Rectangle) -> list[Rectangle]:
    """Return the boxes of a worker's drawn replicas, front first, and then the box around all of them."""
    cards = [
        Rectangle(box.x + DECK * card, box.y - DECK * card, box.width - 2 * DECK * card, box.height)
        for card in range(min(len(seat.workers), SHOWN))
    ]
    return [*cards, Rectangle(box.x, cards[-1].y, box.width, box.bottom - cards[-1].y)]


def _worker(mark: Mark, seat: Seat, box: Rectangle, well: Inkwell) -> list[str]:
    """Draw a worker. Replicas look like a stack of cards; a worker that hosts only agents is dashed."""
    *cards, _ = _deck(seat, box)
    paint = attributes("paper", "ink", 1.4, "4 3") if not seat.hosts else attributes("player", "ink", 1.4)
    return [*(rectangle(card, 5, paint) for card in reversed(cards)), *well.block(lines_of(mark), box.center)]


APART, STACK = "remote agents", "replicas"


def _legend(summary: PlacementSummary) -> Iterator[tuple[str, str]]:
    carried = {stream.carries for stream in summary.streams}
    yield from ((each, str(each)) for each in Carries if each in carried)
    if any(not seat.hosts for seat in summary.seats):
        yield APART, APART
    if any(len(seat.workers) > 1 for seat in summary.seats):
        yield STACK, STACK


def _sample(entry: Entry, well: Inkwell) -> str:
    x, y = entry.box.x, entry.box.center[1]
    if isinstance(entry.what, Carries):
        line = Curve.straight((x, y), (x + SAMPLE - 2, y))
        return "".join(stroke(Arrow("", "", "", LINES[entry.what]), line, well))
    card = Rectangle.around((x + SAMPLE / 2, y), 28, 15)
    if entry.what == APART:
        return rectangle(card, 5, attributes("paper", "ink", 1.4, "4 3"))
    behind = Rectangle(card.x + DECK, card.y - DECK, card.width - 2 * DECK, card.height)
    return "".join(rectangle(each, 5, attributes("player", "ink", 1.4)) for each in (behind, card))
