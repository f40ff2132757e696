"""Compute the sizes and the text lines of marks (drawn nodes) and labels, before the layout."""

from antiphon.pictures.lettering import DETAIL, NAME, SHAPE, SIGN, SMALL_SIGN, SYMBOL, TextLine
from antiphon.pictures.picture import Arrow, Mark, MarkKind

SIGNS = {
    MarkKind.MINUS: (26.0, 26.0),
    MarkKind.SUM: (26.0, 26.0),
    MarkKind.SEED: (40.0, 34.0),
    MarkKind.BROADCAST: (64.0, 12.0),
    MarkKind.CUT: (30.0, 14.0),
    MarkKind.FROZEN: (26.0, 26.0),
    MarkKind.HELD: (26.0, 26.0),
}
"""Width and height, in points, of the kinds of marks (drawn nodes) that have a fixed size."""

MARGINS = {
    MarkKind.PLAYER: (15.0, 7.0),
    MarkKind.CLONE: (15.0, 7.0),
    MarkKind.LOSS: (20.0, 8.0),
    MarkKind.NOISE: (13.0, 12.0),
    MarkKind.TAP: (16.0, 7.0),
    MarkKind.PRODUCT: (10.0, 7.0),
    MarkKind.THROUGH_TIME: (10.0, 7.0),
    MarkKind.TRUNCATED: (10.0, 7.0),
    MarkKind.MAP: (16.0, 7.0),
    MarkKind.BYPASS: (16.0, 7.0),
    MarkKind.REPLICAS: (12.0, 11.0),
}
"""Horizontal and vertical margin, in points, between a mark's text and its outline; (12, 7) for other kinds."""

FACING = NAME.height + DETAIL.height + 14
"""Minimum height, in points, of the mark of a vector-Jacobian product: the height of an operator's mark."""

WORD = 5.0
"""Space, in points, between the symbol and the shape of a value in an arrow's label of one line."""

MAT = 6.0
"""Margin, in points, of the background of a mark that differs from another grammar."""

DECK = 4.0
"""Offset, in points, between the boxes that are drawn one behind the other for the replicas of a worker."""

DISC = 20.0
"""Width, in points, of the sign before the name in the mark of a vector-Jacobian product or of a matrix."""

PRODUCTS = frozenset((MarkKind.PRODUCT, MarkKind.THROUGH_TIME, MarkKind.TRUNCATED))
"""The marks of vector-Jacobian products."""

LOOP = 20.0
"""Width, in points, of the loop to the right of the mark of a scan or of its vector-Jacobian product."""

LOOPS = frozenset((MarkKind.SCAN, MarkKind.THROUGH_TIME, MarkKind.TRUNCATED))
"""The marks with a loop."""


def lines_of(mark: Mark) -> tuple[TextLine, ...]:
    """Return the text lines of a mark (drawn node) with their styles: the name, then details."""
    styles = [SYMBOL if mark.kind is MarkKind.TAP else NAME, *([DETAIL] * len(mark.lines))]
    return tuple(TextLine(text, style) for text, style in zip(mark.lines, styles, strict=False))


def sign_of(mark: Mark) -> TextLine | None:
    """Return the sign inside a mark (drawn node), such as "+"; None if it has no sign.

    The star of a vector-Jacobian product is part of its shape, and is no sign.
    """
    if not mark.sign or mark.kind in PRODUCTS:
        return None
    return TextLine(mark.sign, SIGN if mark.kind in (MarkKind.MINUS, MarkKind.SUM) else SMALL_SIGN)


def size_of(mark: Mark) -> tuple[float, float]:
    """Return (width, height) of a mark (drawn node), in points."""
    if mark.kind in SIGNS:
        return SIGNS[mark.kind]
    lines = lines_of(mark)
    aside, above = MARGINS.get(mark.kind, (12.0, 7.0))
    if mark.kind is MarkKind.SCALE:
        sign = sign_of(mark)
        return (sign.width if sign else 0) + 26, 26.0
    inner = max(line.width for line in lines) + (DISC if mark.kind in {*PRODUCTS, MarkKind.MATRIX} else 0)
    height = sum(line.style.height for line in lines) + 2 * above
    width = max(inner + 2 * aside, 54.0) + (LOOP if mark.kind in LOOPS else 0)
    return width, max(height, FACING) if mark.kind in PRODUCTS else height


def label_of(arrow: Arrow) -> tuple[TextLine, ...]:
    """Return the text lines of an arrow's label: the value's symbol, then its shape. Empty lines are left out."""
    found = (TextLine(arrow.symbol, SYMBOL), TextLine(arrow.shape, SHAPE))
    return tuple(line for line in found if line.text)


def label_size(arrow: Arrow, level: bool = False) -> tuple[float, float]:
    """Return (width, height) of an arrow's label, in points; (0, 0) for an arrow without a label.

    level: whether the symbol and the shape of the value are side by side; otherwise one below the other.
    """
    lines = label_of(arrow)
    widths, heights = [line.width for line in lines], [line.style.height for line in lines]
    if level and lines:
        return sum(widths) + WORD * (len(lines) - 1), max(heights)
    return max(widths, default=0.0), sum(heights)
