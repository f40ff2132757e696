"""The layout of a page: a title, Q on the left, R on the right, and a legend below."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from antiphon.pictures import lettering
from antiphon.pictures.geometry import Rectangle
from antiphon.pictures.graphviz import Placed, place
from antiphon.pictures.ink import Inkwell
from antiphon.pictures.lettering import NOTE, TITLE
from antiphon.pictures.picture import Change, Line, MarkKind, Picture

MARGIN, GAP, HEAD, ROW = 28.0, 64.0, 92.0, 26.0
WIDE = 1.8
"""Ratio of width to height from which the sideways layout is tried too."""
SAMPLE = 34.0
"""The width of a sample in the legend, in points."""


@dataclass(frozen=True)
class Entry:
    """One entry of a legend: its sample, its text, and its box."""

    what: MarkKind | Line | Change | str
    text: str
    box: Rectangle

    def words(self, well: Inkwell) -> str:
        """Return the text, drawn to the right of the sample."""
        return well.text(self.text, NOTE, (self.box.x + SAMPLE + 6, self.box.center[1] + 3.6), "start", "soft")


@dataclass(frozen=True)
class Sheet:
    """The finished layout of a page. sides: Q and R, each with its x and y offset. key: the legend."""

    picture: Picture
    sides: tuple[tuple[Placed, float, float], ...]
    key: tuple[Entry, ...]
    width: float
    height: float


def sheet_of(picture: Picture) -> Sheet:
    """Lay out a picture: upright, or sideways if the upright page would be much wider than high."""
    upright = _sheet(picture, sideways=False)
    if upright.width < WIDE * upright.height:
        return upright
    return min(upright, _sheet(picture, sideways=True), key=lambda sheet: max(sheet.width, WIDE * sheet.height))


def _sheet(picture: Picture, sideways: bool) -> Sheet:
    """Lay out a page. sideways: whether Q is read to the right and R to the left.

    On an upright page, the loss in Q and its product in R are level if possible. Otherwise Q and R are centered
    vertically. The legend is wrapped to the width of the page.
    """
    left, right = (place(side, sideways) for side in picture.sides)
    title = lettering.width(picture.title, TITLE)
    notes = max((lettering.width(each, NOTE) for each in picture.subtitles), default=0.0)
    inner = max(left.paper.width + GAP + right.paper.width, title, notes, 420.0)
    spare = inner - left.paper.width - GAP - right.paper.width
    shift = 0.0 if sideways else _facing(left, right)
    if shift == 0:
        shift = (left.paper.height - right.paper.height) / 2
    top = MARGIN + HEAD
    high, low = top + max(0.0, -shift), top + max(0.0, shift)
    tallest = max(high + left.paper.height, low + right.paper.height) - top
    x = MARGIN + spare / 4
    sides = ((left, x, high), (right, x + left.paper.width + GAP + spare / 2, low))
    key = wrapped(_legend(picture), inner, MARGIN + HEAD + tallest + 34)
    bottom = max(entry.box.bottom for entry in key)
    return Sheet(picture, sides, key, inner + 2 * MARGIN, bottom + MARGIN * 0.7)


def _facing(left: Placed, right: Placed) -> float:
    """Return how far R is below Q, in points, when a loss in Q and its product in R are level.

    Returns 0 if no loss has a product, or if the page would be more than 15 % higher than its higher side.
    """
    products = {mark.asks: mark.id for mark in right.side.marks if mark.kind is MarkKind.PRODUCT}
    for mark in left.side.marks:
        if mark.kind is MarkKind.LOSS and mark.id in products:
            shift = left.marks[mark.id].center[1] - right.marks[products[mark.id]].center[1]
            together = max(left.paper.height, shift + right.paper.height) - min(0.0, shift)
            return shift if together < 1.15 * max(left.paper.height, right.paper.height) else 0.0
    return 0.0


def boxes(sheet: Sheet) -> list[tuple[str, Rectangle]]:
    """Return the boxes of all marks, labels and legend entries. A test checks that no two overlap."""
    found: list[tuple[str, Rectangle]] = []
    for placed, dx, dy in sheet.sides:
        found += [(name, box.moved(dx, dy)) for name, box in placed.marks.items()]
        found += [(f"label of {name}", box.moved(dx, dy)) for name, box in placed.labels.items()]
    found += [(f"key {entry.what}", entry.box) for entry in sheet.key]
    return found


def _legend(picture: Picture) -> Iterator[tuple[MarkKind | Line | Change, str]]:
    differences = {
        Change.ADDED: f"not in {picture.against}",
        Change.REMOVED: f"only in {picture.against}",
        Change.OTHER: f"different in {picture.against}",
    }
    for what in picture.key:
        yield what, differences[what] if isinstance(what, Change) else str(what)


def wrapped(
    entries: Iterable[tuple[MarkKind | Line | Change | str, str]], inner: float, top: float
) -> tuple[Entry, ...]:
    """Lay out the entries of a legend, in lines of at most `inner` points."""
    found: list[Entry] = []
    x, y = MARGIN, top
    for what, text in entries:
        width = SAMPLE + 6 + lettering.width(text, NOTE)
        if x > MARGIN and x + width > MARGIN + inner:
            x, y = MARGIN, y + ROW
        found.append(Entry(what, text, Rectangle(x, y, width, 18)))
        x += width + 18
    return tuple(found)
