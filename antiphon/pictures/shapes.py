"""The shape of each kind of mark. Kinds differ in shape, outline, hatching or dashes, not only in colour."""

from collections.abc import Callable, Mapping
from math import pi, sin

from antiphon.pictures.geometry import Point, Rectangle
from antiphon.pictures.ink import Inkwell, attributes, circle, num, path, polygon, rectangle
from antiphon.pictures.lettering import NAME, SIGN
from antiphon.pictures.picture import Change, Mark, MarkKind
from antiphon.pictures.sizes import DISC, MAT, lines_of, sign_of


def shape(mark: Mark, box: Rectangle, well: Inkwell) -> list[str]:
    """A mark with its text, as SVG fragments."""
    return [
        *_change(mark, box, well),
        *outline(mark.kind, box, well),
        *_lettering(mark, box, well),
    ]


def outline(kind: MarkKind, box: Rectangle, well: Inkwell) -> list[str]:
    """The shape of a kind in a box, without text."""
    return _OUTLINES[kind](box, well)


def _lettering(mark: Mark, box: Rectangle, well: Inkwell) -> list[str]:
    x, y = box.center
    sign = sign_of(mark)
    if sign is not None:
        y = y - 4.5 if mark.kind is MarkKind.SEED else y
        return [well.centered(sign.text, sign.style, (x, y))]
    lines = lines_of(mark)
    if not lines:
        return []
    if mark.kind in (MarkKind.PRODUCT, MarkKind.MATRIX):
        x += DISC / 2
    fill = "paper" if mark.kind is MarkKind.BLACK else "ink"
    found: list[str] = []
    total = sum(line.style.height for line in lines)
    if mark.kind in (MarkKind.GRAY, MarkKind.NOISE):
        widest = max(line.width for line in lines)
        found.append(rectangle(Rectangle.around((x, y), widest + 8, total), 3, attributes("paper")))
    top = y - total / 2
    for line in lines:
        middle = top + line.style.height / 2
        found.append(well.centered(line.text, line.style, (x, middle), fill if line.style is NAME else _soft(mark)))
        top += line.style.height
    return found


def _soft(mark: Mark) -> str:
    if mark.kind is MarkKind.BLACK:
        return "paper"
    return "ink" if mark.kind is MarkKind.TAP else "soft"


def _change(mark: Mark, box: Rectangle, well: Inkwell) -> list[str]:
    """The background of a mark that differs from another grammar, with a sign at its corner."""
    if mark.change is Change.SAME:
        return []
    sign = {Change.ADDED: "+", Change.REMOVED: "×", Change.OTHER: "≠"}[mark.change]
    tint = "removed" if mark.change is Change.REMOVED else "added"
    dash = "5 3" if mark.change is Change.REMOVED else ""
    mat = rectangle(box.grown(MAT - 1), 6, attributes(tint, "ink", 1.2, dash))
    corner = box.right + MAT - 2, box.y - MAT + 2
    badge = circle(corner, 6.5, attributes("paper", "ink", 1.2))
    return [mat, badge, well.centered(sign, NAME, corner)]


def _player(box: Rectangle, well: Inkwell) -> list[str]:
    return [rectangle(box, box.height / 2, attributes("player", "ink", 1.7))]


def _clone(box: Rectangle, well: Inkwell) -> list[str]:
    behind, front = box.moved(2.5, 2.5).grown(-1), box.moved(-1, -1).grown(-1)
    return [
        rectangle(behind, behind.height / 2, attributes("paper", "ink", 1.2, "4 3")),
        rectangle(front, front.height / 2, attributes("paper", "ink", 1.4, "4 3")),
    ]


def _black(box: Rectangle, well: Inkwell) -> list[str]:
    return [rectangle(box, 0, attributes("ink", "ink", 1.4))]


def _gray(box: Rectangle, well: Inkwell) -> list[str]:
    under = rectangle(box, 0, attributes("paper"))
    return [under, rectangle(box, 0, attributes(well.pattern("hatch"), "ink", 1.4))]


def _noise(box: Rectangle, well: Inkwell) -> list[str]:
    """A dotted shape with wavy upper and lower edges."""
    steps = [index / 24 for index in range(25)]
    wave = [(box.x + box.width * t, 2.2 * sin(6 * pi * t)) for t in steps]
    upper = [(x, box.y + 3.5 + dy) for x, dy in wave]
    lower = [(x, box.bottom - 3.5 + dy) for x, dy in reversed(wave)]
    under = polygon([*upper, *lower], attributes("paper"))
    return [under, polygon([*upper, *lower], attributes(well.pattern("dots"), "ink", 1.4))]


def _operator(box: Rectangle, well: Inkwell) -> list[str]:
    return [rectangle(box, 4, attributes("paper", "ink", 1.3))]


def _loss(box: Rectangle, well: Inkwell) -> list[str]:
    def hexagon(inner: Rectangle) -> list[Point]:
        _, y = inner.center
        side = min(9.0, inner.height / 2)
        top, bottom = inner.y, inner.bottom
        left, right = inner.x + side, inner.right - side
        return [(inner.x, y), (left, top), (right, top), (inner.right, y), (right, bottom), (left, bottom)]

    return [
        polygon(hexagon(box), attributes("paper", "ink", 1.3)),
        polygon(hexagon(box.grown(-3)), attributes("loss", "ink", 1)),
    ]


def _seed(box: Rectangle, well: Inkwell) -> list[str]:
    x, _ = box.center
    corners = [(box.x, box.y), (box.right, box.y), (x, box.bottom)]
    return [polygon(corners, attributes("loss", "ink", 1.4))]


def _product(box: Rectangle, well: Inkwell) -> list[str]:
    center = box.x + 15, box.y + box.height / 2
    star = (center[0], center[1] + 4)
    return [
        rectangle(box, box.height / 2, attributes("product", "ink", 1.3)),
        circle(center, 8.5, attributes("ink")),
        well.centered("*", SIGN, star, "paper"),
    ]


def _tap(box: Rectangle, well: Inkwell) -> list[str]:
    tip = min(11.0, box.width / 4)
    _, y = box.center
    corners = [(box.x, box.y), (box.right - tip, box.y), (box.right, y), (box.right - tip, box.bottom)]
    return [
        polygon([*corners, (box.x, box.bottom)], attributes("paper", "ink", 1.4)),
        circle((box.x + 7, y), 2.4, attributes("ink")),
    ]


def _minus(box: Rectangle, well: Inkwell) -> list[str]:
    return [circle(box.center, box.height / 2 - 1, attributes("map", "ink", 2.6))]


def _sum(box: Rectangle, well: Inkwell) -> list[str]:
    return [circle(box.center, box.height / 2 - 1, attributes("paper", "ink", 1.2))]


def _scale(box: Rectangle, well: Inkwell) -> list[str]:
    lean = min(8.0, box.width / 6)
    corners = [(box.x, box.y), (box.right, box.y), (box.right - lean, box.bottom), (box.x + lean, box.bottom)]
    return [polygon(corners, attributes("map", "ink", 1.8))]


def _matrix(box: Rectangle, well: Inkwell) -> list[str]:
    side = min(15.0, box.height - 6)
    left, top = box.x + 7, box.y + (box.height - side) / 2
    thirds = [side * index / 3 for index in range(4)]
    rows = "".join(f"M{num(left)} {num(top + t)}h{num(side)}" for t in thirds)
    columns = "".join(f"M{num(left + t)} {num(top)}v{num(side)}" for t in thirds)
    return [rectangle(box, 0, attributes("map", "ink", 1.8)), path(rows + columns, attributes("none", "ink", 1))]


def _map(box: Rectangle, well: Inkwell) -> list[str]:
    lean = min(9.0, box.width / 6)
    corners = [(box.x + lean, box.y), (box.right, box.y), (box.right - lean, box.bottom), (box.x, box.bottom)]
    return [polygon(corners, attributes("map", "ink", 1.8))]


def _broadcast(box: Rectangle, well: Inkwell) -> list[str]:
    x, y = box.center
    bar = rectangle(Rectangle.around((x, y), box.width, 7), 0, attributes("first", "ink", 1.3))
    teeth = "".join(
        f"M{num(box.x + box.width * t)} {num(y)}v{num(box.height / 2 + 0.5)}" for t in (0.14, 0.38, 0.62, 0.86)
    )
    return [path(teeth, attributes("none", "ink", 2)), bar]


def _cut(box: Rectangle, well: Inkwell) -> list[str]:
    _, y = box.center
    bars = f"M{num(box.x + 3)} {num(box.y + 2)}H{num(box.right - 3)}M{num(box.x + 8)} {num(y + 1)}H{num(box.right - 8)}"
    return [path(bars, attributes("none", "cut", 2.2))]


_OUTLINES: Mapping[MarkKind, Callable[[Rectangle, Inkwell], list[str]]] = {
    MarkKind.PLAYER: _player,
    MarkKind.CLONE: _clone,
    MarkKind.BLACK: _black,
    MarkKind.GRAY: _gray,
    MarkKind.NOISE: _noise,
    MarkKind.OPERATOR: _operator,
    MarkKind.LOSS: _loss,
    MarkKind.SEED: _seed,
    MarkKind.PRODUCT: _product,
    MarkKind.TAP: _tap,
    MarkKind.MINUS: _minus,
    MarkKind.SUM: _sum,
    MarkKind.SCALE: _scale,
    MarkKind.MATRIX: _matrix,
    MarkKind.MAP: _map,
    MarkKind.BROADCAST: _broadcast,
    MarkKind.CUT: _cut,
}
