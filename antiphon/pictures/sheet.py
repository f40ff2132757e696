"""Compute the layout of a whole picture: title, Query graph (Q) left, Response graph (R) right, legend below."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from antiphon.pictures import lettering
from antiphon.pictures.geometry import Rectangle
from antiphon.pictures.graphviz import Placed, place
from antiphon.pictures.ink import Inkwell
from antiphon.pictures.lettering import NOTE, TITLE
from antiphon.pictures.picture import Change, Line, MarkKind, Picture

MARGIN, GAP, HEAD, ROW = 28.0, 64.0, 92.0, 26.0
WIDE = 1.8
"""If width / height is at least this number, a layout with horizontal arrows is tried too."""
SAMPLE = 34.0
"""The width, in points, of the drawn sample of a mark or arrow in the legend."""


@dataclass(frozen=True)
class Entry:
    """One entry of a picture's legend. what: what its sample shows. text: the meaning. box: the entry's rectangle."""

    what: MarkKind | Line | Change
    text: str
    box: Rectangle

    def words(self, well: Inkwell) -> str:
        """Return the text of the entry as SVG, to the right of the sample."""
        return well.text(self.text, NOTE, (self.box.x + SAMPLE + 6, self.box.center[1] + 3.6), "start", "soft")


@dataclass(frozen=True)
class Sheet:
    """The finished layout of a picture. sides: (graph with its layout, its x offset, its y offset). key: the legend."""

    picture: Picture
    sides: tuple[tuple[Placed, float, float], ...]
    key: tuple[Entry, ...]
    width: float
    height: float


def sheet_of(picture: Picture) -> Sheet:
    """Compute the layout of a picture, with vertical arrows if possible.

    Horizontal arrows are used if the picture would otherwise be much wider than high, and for placements.
    """
    if len(picture.sides) == 1:
        return _sheet(picture, sideways=True)
    upright = _sheet(picture, sideways=False)
    if upright.width < WIDE * upright.height:
        return upright
    return min(upright, _sheet(picture, sideways=True), key=lambda sheet: max(sheet.width, WIDE * sheet.height))


def _sheet(picture: Picture, sideways: bool) -> Sheet:
    """Compute the layout of a picture. The legend is wrapped to the picture's width.

    sideways: whether arrows are horizontal; otherwise they are vertical.
    """
    placed = [place(side, sideways) for side in picture.sides]
    notes = [lettering.width(each, NOTE) for each in picture.subtitles]
    drawn = sum(each.paper.width for each in placed) + GAP * (len(placed) - 1)
    inner = max(drawn, lettering.width(picture.title, TITLE), *notes, 420.0)
    spare, top = (inner - drawn) / len(placed), MARGIN + HEAD
    heights = _heights(placed, sideways)
    sides: list[tuple[Placed, float, float]] = []
    x = MARGIN + spare / 2
    for each, height in zip(placed, heights, strict=True):
        sides.append((each, x, top + height))
        x += each.paper.width + GAP + spare
    lowest = max(y + each.paper.height for each, _, y in sides)
    key = wrapped(_legend(picture), inner, lowest + 34)
    bottom = max(entry.box.bottom for entry in key)
    return Sheet(picture, tuple(sides), key, inner + 2 * MARGIN, bottom + MARGIN * 0.7)


def _heights(placed: Sequence[Placed], sideways: bool) -> list[float]:
    """Return, for each graph of a picture, its distance from the top, in points.

    With vertical arrows, a loss in the Query graph and its vector-Jacobian product in the Response graph are at the
    same height, if possible. Otherwise the graphs are centered.
    """
    shift = 0.0 if sideways else _facing(*placed)
    if shift:
        return [max(0.0, -shift), max(0.0, shift)]
    tallest = max(each.paper.height for each in placed)
    return [(tallest - each.paper.height) / 2 for each in placed]


def _facing(left: Placed, right: Placed) -> float:
    """Return by how much, in points, the right graph must be lower than the left, so that losses are at one height.

    Then a loss in the left graph (Q) is at the height of its vector-Jacobian product in the right graph (R).
    Returns 0 if no loss has a product, or if the picture would be more than 15 % higher than the higher graph.
    """
    products = {mark.asks: mark.id for mark in right.side.marks if mark.kind is MarkKind.PRODUCT}
    for mark in left.side.marks:
        if mark.kind is MarkKind.LOSS and mark.id in products:
            shift = left.marks[mark.id].center[1] - right.marks[products[mark.id]].center[1]
            together = max(left.paper.height, shift + right.paper.height) - min(0.0, shift)
            return shift if together < 1.15 * max(left.paper.height, right.paper.height) else 0.0
    return 0.0


def boxes(sheet: Sheet) -> list[tuple[str, Rectangle]]:
    """Return (name, rectangle) of all marks, labels and legend entries of a picture, to test that none overlap."""
    found: list[tuple[str, Rectangle]] = []
    for placed, dx, dy in sheet.sides:
        found += [(name, box.moved(dx, dy)) for name, box in placed.marks.items()]
        found += [(f"label of {name}", box.moved(dx, dy)) for name, box in placed.labels.items()]
    found += [(f"key {entry.what}", entry.box) for entry in sheet.key]
    return found


def _legend(picture: Picture) -> Iterator[tuple[MarkKind | Line | Change, str]]:
    for what in picture.key:
        yield what, picture.words.get(what, str(what))


def wrapped(entries: Iterable[tuple[MarkKind | Line | Change, str]], inner: float, top: float) -> tuple[Entry, ...]:
    """Compute the layout of a legend. entries: (what a sample shows, text). inner: maximum width of a line, in points.

    top: the y coordinate of the first line.
    """
    found: list[Entry] = []
    x, y = MARGIN, top
    for what, text in entries:
        width = SAMPLE + 6 + lettering.width(text, NOTE)
        if x > MARGIN and x + width > MARGIN + inner:
            x, y = MARGIN, y + ROW
        found.append(Entry(what, text, Rectangle(x, y, width, 18)))
        x += width + 18
    return tuple(found)
