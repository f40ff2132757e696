"""Draw marks (the nodes of a picture). Kinds differ in shape, outline, hatching or dashes, not only in colour."""

from collections.abc import Callable, Mapping
from math import cos, pi, sin

from antiphon.pictures.geometry import Point, Rectangle
from antiphon.pictures.ink import Inkwell, attributes, circle, num, path, polygon, rectangle
from antiphon.pictures.lettering import NAME, SIGN
from antiphon.pictures.picture import Change, Mark, MarkKind
from antiphon.pictures.sizes import DECK, DISC, LOOP, LOOPS, MAT, PRODUCTS, lines_of, sign_of


def shape(mark: Mark, box: Rectangle, well: Inkwell) -> list[str]:
    """Draw a mark (a node of a picture) with its text into a rectangle. Returns SVG elements.

    well: writes texts and patterns.
    """
    return [
        *_change(mark, box, well),
        *outline(mark.kind, box, well),
        *_lettering(mark, box, well),
    ]


def outline(kind: MarkKind, box: Rectangle, well: Inkwell) -> list[str]:
    """Draw the shape of a kind of mark into a rectangle, without text. Returns SVG elements."""
    match kind:
        case MarkKind.PLAYER:
            return [rectangle(box, box.height / 2, attributes("player", "ink", 1.7))]
        case MarkKind.CLONE:
            cards = (box.moved(2.5, 2.5).grown(-1), 1.2), (box.moved(-1, -1).grown(-1), 1.4)
            return [rectangle(card, card.height / 2, attributes("paper", "ink", line, "4 3")) for card, line in cards]
        case MarkKind.BLACK:
            return [rectangle(box, 0, attributes("ink", "ink", 1.4))]
        case MarkKind.GRAY:
            hatched = rectangle(box, 0, attributes(well.pattern("hatch"), "ink", 1.4))
            return [rectangle(box, 0, attributes("paper")), hatched]
        case MarkKind.NOISE:
            edge = _wavy(box)
            return [polygon(edge, attributes("paper")), polygon(edge, attributes(well.pattern("dots"), "ink", 1.4))]
        case MarkKind.OPERATOR:
            return [rectangle(box, 4, attributes("paper", "ink", 1.3))]
        case MarkKind.SCAN:
            return [*outline(MarkKind.OPERATOR, _before_loop(box), well), *_loop(box)]
        case MarkKind.WORKER:
            return [rectangle(box, 5, attributes("player", "ink", 1.4))]
        case MarkKind.AGENTS:
            return [rectangle(box, 5, attributes("paper", "ink", 1.4, "4 3"))]
        case MarkKind.REPLICAS:
            low, high = box.y + 2 * DECK, box.height - 2 * DECK
            cards = [Rectangle(box.x + far, low - far, box.width - 2 * far, high) for far in (2 * DECK, DECK, 0.0)]
            return [rectangle(card, 5, attributes("player", "ink", 1.4)) for card in cards]
        case MarkKind.LOSS:
            inner = polygon(_hexagon(box.grown(-3)), attributes("loss", "ink", 1))
            return [polygon(_hexagon(box), attributes("paper", "ink", 1.3)), inner]
        case MarkKind.SEED:
            return [polygon(_points(box, (0, 0), (1, 0), (0.5, 1)), attributes("loss", "ink", 1.4))]
        case MarkKind.MINUS:
            return [circle(box.center, box.height / 2 - 1, attributes("map", "ink", 2.6))]
        case MarkKind.SUM:
            return [circle(box.center, box.height / 2 - 1, attributes("paper", "ink", 1.2))]
        case MarkKind.SCALE:
            lean = min(8.0 / box.width, 1 / 6)
            corners = _points(box, (0, 0), (1, 0), (1 - lean, 1), (lean, 1))
            return [polygon(corners, attributes("map", "ink", 1.8))]
        case MarkKind.MAP:
            lean = min(9.0 / box.width, 1 / 6)
            corners = _points(box, (lean, 0), (1, 0), (1 - lean, 1), (0, 1))
            return [polygon(corners, attributes("map", "ink", 1.8))]
        case _:
            return _COMPOSED[kind](box, well)


def _points(box: Rectangle, *places: Point) -> list[Point]:
    """Return points of a rectangle. places: relative coordinates, from (0, 0), upper left, to (1, 1), lower right."""
    return [(box.x + box.width * x, box.y + box.height * y) for x, y in places]


def _hexagon(box: Rectangle) -> list[Point]:
    side = min(9.0, box.height / 2) / box.width
    return _points(box, (0, 0.5), (side, 0), (1 - side, 0), (1, 0.5), (1 - side, 1), (side, 1))


def _wavy(box: Rectangle) -> list[Point]:
    """Return the outline of a rectangle with wavy upper and lower edges, as points."""
    wave = [(box.x + box.width * t / 24, 2.2 * sin(6 * pi * t / 24)) for t in range(25)]
    upper = [(x, box.y + 3.5 + dy) for x, dy in wave]
    return upper + [(x, box.bottom - 3.5 + dy) for x, dy in reversed(wave)]


def _lettering(mark: Mark, box: Rectangle, well: Inkwell) -> list[str]:
    x, y = box.center
    sign = sign_of(mark)
    if sign is not None:
        y = y - 4.5 if mark.kind is MarkKind.SEED else y
        return [well.centered(sign.text, sign.style, (x, y))]
    lines = lines_of(mark)
    if not lines:
        return []
    x += DISC / 2 if mark.kind in {*PRODUCTS, MarkKind.MATRIX} else 0
    x -= LOOP / 2 if mark.kind in LOOPS else 0
    y += DECK if mark.kind is MarkKind.REPLICAS else 0
    found: list[str] = []
    if mark.kind in (MarkKind.GRAY, MarkKind.NOISE):
        size = max(line.width for line in lines) + 8, sum(line.style.height for line in lines)
        found.append(rectangle(Rectangle.around((x, y), *size), 3, attributes("paper")))
    fills = {MarkKind.BLACK: ("paper", "paper"), MarkKind.TAP: ("ink", "ink")}
    return found + well.block(lines, (x, y), *fills.get(mark.kind, ("ink", "soft")))


def _change(mark: Mark, box: Rectangle, well: Inkwell) -> list[str]:
    """Draw the background of a mark that differs from another grammar, with a sign at its corner.

    Returns SVG elements; none if the mark does not differ.
    """
    if mark.change is Change.SAME:
        return []
    tint = "removed" if mark.change is Change.REMOVED else "added"
    dash = "5 3" if mark.change is Change.REMOVED else ""
    mat = rectangle(box.grown(MAT - 1), 6, attributes(tint, "ink", 1.2, dash))
    corner = box.right + MAT - 2, box.y - MAT + 2
    badge = circle(corner, 6.5, attributes("paper", "ink", 1.2))
    return [mat, badge, well.centered(mark.change.sign, NAME, corner)]


def _product(box: Rectangle, well: Inkwell) -> list[str]:
    center = box.x + 15, box.y + box.height / 2
    star = (center[0], center[1] + 4)
    return [
        rectangle(box, box.height / 2, attributes("product", "ink", 1.3)),
        circle(center, 8.5, attributes("ink")),
        well.centered("*", SIGN, star, "paper"),
    ]


def _through_time(box: Rectangle, well: Inkwell) -> list[str]:
    return [*_product(_before_loop(box), well), *_loop(box)]


def _truncated(box: Rectangle, well: Inkwell) -> list[str]:
    room, scale = _loop_room(box)
    x, y = box.right - room / 2, box.center[1]
    strokes = "".join(f"M{num(x + far - 2)} {num(y + 6 * scale)}l4 {num(8 * scale)}" for far in (-2, 3))
    return [*_through_time(box, well), path(strokes, attributes("none", "cut", 2.2))]


def _loop_room(box: Rectangle) -> tuple[float, float]:
    """Return the width of the loop of a mark, and the scale of the loop's height. Samples in legends are small."""
    return min(LOOP, 0.4 * box.width), min(1.0, box.height / 34)


def _before_loop(box: Rectangle) -> Rectangle:
    """Return the part of a rectangle that is left of the loop."""
    return Rectangle(box.x, box.y, box.width - _loop_room(box)[0], box.height)


def _loop(box: Rectangle) -> list[str]:
    """Draw an arrow that leaves a mark on its right side, and comes back to the same side."""
    room, scale = _loop_room(box)
    x, y, far = box.right - room, box.center[1], 1.3 * room

    def at(dx: float, dy: float) -> str:
        return f"{num(x + dx)} {num(y + scale * dy)}"

    line = f"M{at(0, 9)}C{at(far, 13)} {at(far, -13)} {at(5, -10)}"
    head = [(x, y - 9 * scale), (x + 7.5, y - 13.5 * scale), (x + 8, y - 6 * scale)]
    return [path(line, attributes("none", "ink", 1.3)), polygon(head, attributes("ink", "ink", 0.8))]


def _tap(box: Rectangle, well: Inkwell) -> list[str]:
    tip = 1 - min(11.0 / box.width, 1 / 4)
    corners = _points(box, (0, 0), (tip, 0), (1, 0.5), (tip, 1), (0, 1))
    dot = circle((box.x + 7, box.center[1]), 2.4, attributes("ink"))
    return [polygon(corners, attributes("paper", "ink", 1.4)), dot]


def _matrix(box: Rectangle, well: Inkwell) -> list[str]:
    side = min(15.0, box.height - 6)
    left, top = box.x + 7, box.y + (box.height - side) / 2
    thirds = [side * index / 3 for index in range(4)]
    rows = "".join(f"M{num(left)} {num(top + t)}h{num(side)}" for t in thirds)
    columns = "".join(f"M{num(left + t)} {num(top)}v{num(side)}" for t in thirds)
    return [rectangle(box, 0, attributes("map", "ink", 1.8)), path(rows + columns, attributes("none", "ink", 1))]


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


def _bypass(box: Rectangle, well: Inkwell) -> list[str]:
    lean = min(9.0 / box.width, 1 / 6)
    corners = _points(box, (0, 0), (1 - lean, 0), (1, 1), (lean, 1))
    inner = _points(box.grown(-3), (0, 0), (1 - lean, 0), (1, 1), (lean, 1))
    return [polygon(corners, attributes("map", "ink", 1.8)), polygon(inner, attributes("none", "ink", 0.9))]


def _frozen(box: Rectangle, well: Inkwell) -> list[str]:
    x, y = box.center
    reach = box.height / 2 - 2
    arms = [(cos(pi * turn / 3) * reach, sin(pi * turn / 3) * reach) for turn in range(3)]
    lines = "".join(f"M{num(x - dx)} {num(y - dy)}L{num(x + dx)} {num(y + dy)}" for dx, dy in arms)
    return [path(lines, attributes("none", "cut", 2.2)), circle((x, y), reach * 0.4, attributes("paper", "cut", 1.6))]


def _held(box: Rectangle, well: Inkwell) -> list[str]:
    x, y = box.center
    shackle = f"M{num(x - 5)} {num(y)}v-4a5 5 0 0 1 10 0v4"
    body = Rectangle.around((x, y + 5), 16, 11)
    return [path(shackle, attributes("none", "cut", 2.2)), rectangle(body, 2, attributes("cut", "cut", 1))]


_COMPOSED: Mapping[MarkKind, Callable[[Rectangle, Inkwell], list[str]]] = {
    MarkKind.PRODUCT: _product,
    MarkKind.THROUGH_TIME: _through_time,
    MarkKind.TRUNCATED: _truncated,
    MarkKind.TAP: _tap,
    MarkKind.MATRIX: _matrix,
    MarkKind.BROADCAST: _broadcast,
    MarkKind.CUT: _cut,
    MarkKind.BYPASS: _bypass,
    MarkKind.FROZEN: _frozen,
    MarkKind.HELD: _held,
}
