"""The size and the text lines of each mark and label, computed before the layout."""

from antiphon.pictures.lettering import DETAIL, NAME, SHAPE, SIGN, SMALL_SIGN, SYMBOL, TextLine
from antiphon.pictures.picture import Arrow, Mark, MarkKind

SIGNS = {
    MarkKind.MINUS: (26.0, 26.0),
    MarkKind.SUM: (26.0, 26.0),
    MarkKind.SEED: (40.0, 34.0),
    MarkKind.BROADCAST: (64.0, 12.0),
    MarkKind.CUT: (30.0, 14.0),
}
"""Width and height of marks with a fixed size, in points."""

MARGINS = {
    MarkKind.PLAYER: (15.0, 7.0),
    MarkKind.CLONE: (15.0, 7.0),
    MarkKind.LOSS: (20.0, 8.0),
    MarkKind.NOISE: (13.0, 12.0),
    MarkKind.TAP: (16.0, 7.0),
    MarkKind.PRODUCT: (10.0, 7.0),
    MarkKind.MAP: (16.0, 7.0),
    MarkKind.REPLICAS: (12.0, 11.0),
}
"""Horizontal and vertical margin between a mark's text and its outline; (12, 7) for other kinds."""

FACING = NAME.height + DETAIL.height + 14
"""Minimum height of a product mark, in points: the height of an operator mark with details, so that both are level."""

WORD = 5.0
"""Space between symbol and shape in a one-line label."""

MAT = 6.0
"""Margin of the background of a mark that differs from another grammar."""

DECK = 4.0
"""Offset between the boxes that are drawn for replicas."""

DISC = 20.0
"""Width of the sign before the name of a product or a matrix."""


def lines_of(mark: Mark) -> tuple[TextLine, ...]:
    """Return the text lines of a mark: its name, then details."""
    styles = [SYMBOL if mark.kind is MarkKind.TAP else NAME, *([DETAIL] * len(mark.lines))]
    return tuple(TextLine(text, style) for text, style in zip(mark.lines, styles, strict=False))


def sign_of(mark: Mark) -> TextLine | None:
    """Return the sign inside a mark; None for marks without one, and for products, whose star is part of the shape."""
    if not mark.sign or mark.kind is MarkKind.PRODUCT:
        return None
    return TextLine(mark.sign, SIGN if mark.kind in (MarkKind.MINUS, MarkKind.SUM) else SMALL_SIGN)


def size_of(mark: Mark) -> tuple[float, float]:
    """Return the width and height of a mark, in points."""
    if mark.kind in SIGNS:
        return SIGNS[mark.kind]
    lines = lines_of(mark)
    aside, above = MARGINS.get(mark.kind, (12.0, 7.0))
    if mark.kind is MarkKind.SCALE:
        sign = sign_of(mark)
        return (sign.width if sign else 0) + 26, 26.0
    inner = max(line.width for line in lines) + (DISC if mark.kind in (MarkKind.PRODUCT, MarkKind.MATRIX) else 0)
    height = sum(line.style.height for line in lines) + 2 * above
    return max(inner + 2 * aside, 54.0), max(height, FACING) if mark.kind is MarkKind.PRODUCT else height


def label_of(arrow: Arrow) -> tuple[TextLine, ...]:
    """Return the lines of an arrow's label: its symbol, then its shape; empty lines are left out."""
    found = (TextLine(arrow.symbol, SYMBOL), TextLine(arrow.shape, SHAPE))
    return tuple(line for line in found if line.text)


def label_size(arrow: Arrow, level: bool = False) -> tuple[float, float]:
    """Return the width and height of an arrow's label, in points; (0, 0) without a label.

    level: whether symbol and shape are side by side.
    """
    lines = label_of(arrow)
    widths, heights = [line.width for line in lines], [line.style.height for line in lines]
    if level and lines:
        return sum(widths) + WORD * (len(lines) - 1), max(heights)
    return max(widths, default=0.0), sum(heights)
