"""How large each mark is, and where its lettering stands: measured, before anything is placed."""

from dataclasses import dataclass

from antiphon.pictures import lettering
from antiphon.pictures.lettering import DETAIL, NAME, SHAPE, SIGN, SMALL_SIGN, SYMBOL, Style
from antiphon.pictures.picture import Arrow, Kind, Mark

SIGNS = {
    Kind.MINUS: (26.0, 26.0),
    Kind.SUM: (26.0, 26.0),
    Kind.SEED: (40.0, 34.0),
    Kind.BROADCAST: (64.0, 12.0),
    Kind.CUT: (30.0, 14.0),
}
"""Marks of a fixed size."""

MARGINS = {
    Kind.PLAYER: (15.0, 7.0),
    Kind.CLONE: (15.0, 7.0),
    Kind.LOSS: (20.0, 8.0),
    Kind.NOISE: (13.0, 12.0),
    Kind.TAP: (16.0, 7.0),
    Kind.PRODUCT: (10.0, 7.0),
    Kind.MAP: (16.0, 7.0),
}
"""Between the lettering of a mark and its outline, to the side and above; (12, 7) for the others."""

FACING = NAME.height + DETAIL.height + 14
"""The height of a product: that of an operator with its details, so that the two stand in one row."""

WORD = 5.0
"""Between symbol and shape, where they stand side by side."""

MAT = 6.0
"""The margin of the mat behind a mark that another grammar does not have."""

DISC = 20.0
"""The width that the sign of a product takes, before its name."""


@dataclass(frozen=True)
class Line:
    """One line of lettering and its style."""

    text: str
    style: Style

    @property
    def width(self) -> float:
        """Measured."""
        return lettering.width(self.text, self.style)


def lines_of(mark: Mark) -> tuple[Line, ...]:
    """The lettering of a mark: its name, then details."""
    styles = [SYMBOL if mark.kind is Kind.TAP else NAME, *([DETAIL] * len(mark.lines))]
    return tuple(Line(text, style) for text, style in zip(mark.lines, styles, strict=False))


def sign_of(mark: Mark) -> Line | None:
    """The sign that stands inside a mark."""
    if not mark.sign or mark.kind is Kind.PRODUCT:
        return None
    return Line(mark.sign, SIGN if mark.kind in (Kind.MINUS, Kind.SUM) else SMALL_SIGN)


def size_of(mark: Mark) -> tuple[float, float]:
    """Width and height, in points."""
    if mark.kind in SIGNS:
        return SIGNS[mark.kind]
    lines = lines_of(mark)
    aside, above = MARGINS.get(mark.kind, (12.0, 7.0))
    if mark.kind is Kind.SCALE:
        sign = sign_of(mark)
        return (sign.width if sign else 0) + 26, 26.0
    inner = max(line.width for line in lines) + (DISC if mark.kind in (Kind.PRODUCT, Kind.MATRIX) else 0)
    height = sum(line.style.height for line in lines) + 2 * above
    return max(inner + 2 * aside, 54.0), max(height, FACING) if mark.kind is Kind.PRODUCT else height


def label_of(arrow: Arrow) -> tuple[Line, ...]:
    """The label of an arrow: its symbol above its shape."""
    found = (Line(arrow.symbol, SYMBOL), Line(arrow.shape, SHAPE))
    return tuple(line for line in found if line.text)


def label_size(arrow: Arrow, level: bool = False) -> tuple[float, float]:
    """Width and height of an arrow's label, (0, 0) without one; level: symbol and shape side by side."""
    lines = label_of(arrow)
    widths, heights = [line.width for line in lines], [line.style.height for line in lines]
    if level and lines:
        return sum(widths) + WORD * (len(lines) - 1), max(heights)
    return max(widths, default=0.0), sum(heights)
