"""Draw arrows: a single line for values, a double line for gradients, dots for parameters, dashes for cut gradients."""

from antiphon.pictures.geometry import Curve, Point, Rectangle
from antiphon.pictures.ink import Inkwell, at, attributes, circle, path, polygon, rectangle
from antiphon.pictures.lettering import NAME
from antiphon.pictures.picture import Arrow, Change, Line
from antiphon.pictures.sizes import WORD, label_of


def stroke(arrow: Arrow, curve: Curve, well: Inkwell) -> list[str]:
    """Draw an arrow along a curve, without its label. Returns SVG elements.

    In a comparison of two grammars, a removed arrow is dashed and has a sign. well: writes texts.
    """
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
            found += [*_double(f"{d}L{at(curve.end)}", "cut", "6 5"), _slashes(curve)]
    if arrow.change in (Change.REMOVED, Change.OTHER):
        found += _badge(arrow, curve, well)
    return found


def label(arrow: Arrow, box: Rectangle, well: Inkwell) -> list[str]:
    """Draw the label of an arrow into a rectangle, on a background that hides lines behind it. Returns SVG elements."""
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
    begin, *rest = map(at, curve.points)
    return f"M{begin}" + "".join(f"C{' '.join(rest[index : index + 3])}" for index in range(0, len(rest), 3))


def _double(d: str, paint: str, dash: str) -> list[str]:
    outer = path(d, attributes("none", paint, 3.8, dash))
    return [outer, path(d, attributes("none", "paper", 1.4))]


# Points as complex numbers: a product with 1j is a right angle.


def _tip(curve: Curve) -> tuple[complex, complex]:
    """Return (the tip of an arrow's head, its unit direction), as complex numbers."""
    tip = complex(*curve.end)
    along = tip - complex(*curve.points[-1])
    return tip, along / (abs(along) or 1.0)


def _pair(point: complex) -> Point:
    return point.real, point.imag


def _wings(curve: Curve, length: float, half: float) -> tuple[Point, Point]:
    tip, along = _tip(curve)
    back = tip - along * length
    return _pair(back + along * half * 1j), _pair(back - along * half * 1j)


def _filled(curve: Curve) -> str:
    return polygon([curve.end, *_wings(curve, 8.5, 3.6)], attributes("ink", "ink", 0.8))


def _open(curve: Curve, paint: str) -> str:
    line, tip, one, other = map(at, (curve.points[-1], curve.end, *_wings(curve, 8.5, 5.2)))
    return path(f"M{line}L{tip}M{one}L{tip}L{other}", attributes("none", paint, 1.8))


def _dot(curve: Curve) -> str:
    tip, along = _tip(curve)
    return circle(_pair(tip - along * 3.2), 3.2, attributes("ink"))


def _slashes(curve: Curve) -> str:
    middle, along = (complex(*each) for each in curve.middle)
    along /= abs(along) or 1.0
    half = along * (3 + 6j)
    lines = (
        f"M{at(_pair(point - half))}L{at(_pair(point + half))}" for point in (middle - 3 * along, middle + 3 * along)
    )
    return path("".join(lines), attributes("none", "cut", 2.2))


def _band(arrow: Arrow, d: str) -> list[str]:
    if arrow.change is Change.SAME:
        return []
    removed = arrow.change is Change.REMOVED
    paint = attributes("none", "removed" if removed else "added", 11, "5 4" if removed else "")
    return [path(d, paint)]


def _badge(arrow: Arrow, curve: Curve, well: Inkwell) -> list[str]:
    center = curve.middle[0]
    return [circle(center, 6.5, attributes("paper", "ink", 1.1)), well.centered(arrow.change.sign, NAME, center)]
