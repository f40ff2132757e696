"""Draw arrows: a single line for values, a double line for gradients, dots for parameters, dashes for cuts."""

from math import hypot

from antiphon.pictures.geometry import Curve, Point, Rectangle
from antiphon.pictures.ink import Inkwell, attributes, circle, num, path, polygon, rectangle
from antiphon.pictures.lettering import NAME
from antiphon.pictures.picture import Arrow, Change, Line
from antiphon.pictures.sizes import WORD, label_of


def stroke(arrow: Arrow, curve: Curve, well: Inkwell) -> list[str]:
    """The arrow without its label, as SVG fragments. A removed arrow is dashed and has a sign."""
    d, removed = _path(curve), arrow.change is Change.REMOVED
    found, dash = _band(arrow, d), "6 4" if removed else ""
    match arrow.line:
        case Line.ZEROTH:
            found += [path(d, attributes("none", "ink", 1.3, dash)), _filled(curve)]
        case Line.FIRST:
            found += [*_double(d, "first", dash), _open(curve, "first")]
        case Line.PARAMETERS:
            found += [path(d, attributes("none", "ink", 1.5, "1.5 3")), _dot(curve)]
        case Line.CUT:
            whole = f"{d}L{num(curve.end[0])} {num(curve.end[1])}"
            found += [*_double(whole, "cut", "6 5"), _slashes(curve)]
    if arrow.change in (Change.REMOVED, Change.OTHER):
        found += _badge(arrow, curve, well)
    return found


def label(arrow: Arrow, box: Rectangle, well: Inkwell) -> list[str]:
    """The label of an arrow, on a background that hides the lines below it."""
    found = [rectangle(box.grown(1), 2, f'fill-opacity="0.85" {attributes("paper")}')]
    lines = label_of(arrow)
    level = len(lines) > 1 and box.height < sum(line.style.height for line in lines) - 1
    x, top = box.x, box.y
    for line in lines:
        baseline = box.bottom - 4 if level else top + line.style.height * 0.78
        fill = "ink" if line.text == arrow.symbol else "soft"
        found.append(well.text(line.text, line.style, (x, baseline), "start", fill))
        x, top = (x + line.width + WORD, top) if level else (x, top + line.style.height)
    return found


def _path(curve: Curve) -> str:
    (x, y), *rest = curve.points
    pieces = [rest[index : index + 3] for index in range(0, len(rest), 3)]
    return f"M{num(x)} {num(y)}" + "".join(
        "C" + " ".join(f"{num(px)} {num(py)}" for px, py in piece) for piece in pieces
    )


def _double(d: str, paint: str, dash: str) -> list[str]:
    outer = path(d, attributes("none", paint, 3.8, dash))
    return [outer, path(d, attributes("none", "paper", 1.4))]


def _head(curve: Curve) -> tuple[Point, Point, Point]:
    """The tip of the arrowhead, its unit direction, and the end of the line."""
    (x, y), (u, v) = curve.end, curve.points[-1]
    length = hypot(x - u, y - v) or 1.0
    return (x, y), ((x - u) / length, (y - v) / length), (u, v)


def _wings(curve: Curve, length: float, half: float) -> tuple[Point, Point]:
    (x, y), (dx, dy), _ = _head(curve)
    back = x - dx * length, y - dy * length
    return (back[0] - dy * half, back[1] + dx * half), (back[0] + dy * half, back[1] - dx * half)


def _filled(curve: Curve) -> str:
    one, other = _wings(curve, 8.5, 3.6)
    return polygon([curve.end, one, other], attributes("ink", "ink", 0.8))


def _open(curve: Curve, paint: str) -> str:
    (x, y), _, (u, v) = _head(curve)
    one, other = _wings(curve, 8.5, 5.2)
    line = f"M{num(u)} {num(v)}L{num(x)} {num(y)}M{num(one[0])} {num(one[1])}L{num(x)} {num(y)}"
    return path(f"{line}L{num(other[0])} {num(other[1])}", attributes("none", paint, 1.8))


def _dot(curve: Curve) -> str:
    (x, y), (dx, dy), _ = _head(curve)
    return circle((x - dx * 3.2, y - dy * 3.2), 3.2, attributes("ink"))


def _slashes(curve: Curve) -> str:
    (x, y), (dx, dy) = curve.middle
    length = hypot(dx, dy) or 1.0
    dx, dy = dx / length, dy / length
    marks = ""
    for shift in (-3.0, 3.0):
        a, b = x + dx * shift, y + dy * shift
        ux, uy = -dy * 6 + dx * 3, dx * 6 + dy * 3
        marks += f"M{num(a - ux)} {num(b - uy)}L{num(a + ux)} {num(b + uy)}"
    return path(marks, attributes("none", "cut", 2.2))


def _band(arrow: Arrow, d: str) -> list[str]:
    if arrow.change is Change.SAME:
        return []
    removed = arrow.change is Change.REMOVED
    paint = attributes("none", "removed" if removed else "added", 11, "5 4" if removed else "")
    return [path(d, paint)]


def _badge(arrow: Arrow, curve: Curve, well: Inkwell) -> list[str]:
    sign = "×" if arrow.change is Change.REMOVED else "≠"
    center = curve.middle[0]
    return [circle(center, 6.5, attributes("paper", "ink", 1.1)), well.centered(sign, NAME, center)]
