"""The legend of the graphical language: every mark and every line with its meaning."""

from collections.abc import Mapping

from antiphon.pictures import lettering
from antiphon.pictures.geometry import Curve, Rectangle
from antiphon.pictures.ink import Inkwell, attributes, num, rectangle
from antiphon.pictures.lettering import NAME, NOTE, SIDE
from antiphon.pictures.picture import Arrow, Change, Line, Mark, MarkKind
from antiphon.pictures.shapes import shape
from antiphon.pictures.sizes import size_of
from antiphon.pictures.strokes import stroke

MEANINGS: Mapping[MarkKind | Line | Change, str] = {
    MarkKind.PLAYER: "plays parameters; in R, it hears",
    MarkKind.CLONE: "a copy of a player that follows it",
    MarkKind.BLACK: "an oracle that answers values only",
    MarkKind.GRAY: "an oracle that tells gradients too",
    MarkKind.NOISE: "an oracle that answers draws",
    MarkKind.OPERATOR: "a function; with parameters, if a player plays into it",
    MarkKind.LOSS: "a scalar that goes down, or up",
    MarkKind.SEED: "where responses begin: the objective's sign",
    MarkKind.PRODUCT: "vector-Jacobian product of a node of Q",
    MarkKind.TAP: "a value that Q computed, told as it is",
    MarkKind.MINUS: "an edit: the message changes its sign",
    MarkKind.SUM: "messages that meet are added",
    MarkKind.SCALE: "an edit: the message times a number",
    MarkKind.MATRIX: "an edit: the message times a fixed matrix",
    MarkKind.MAP: "an edit: any other fixed function",
    MarkKind.BROADCAST: "one message that several hear",
    Line.ZEROTH: "a value",
    Line.FIRST: "what comes of a derivative",
    Line.PARAMETERS: "what a player plays",
    Line.CUT: "what the chain rule would tell, and R does not",
    Change.ADDED: "against another grammar: only here",
    Change.REMOVED: "against another grammar: only there",
    Change.OTHER: "against another grammar: not the same",
}
SPECIMENS: Mapping[MarkKind, Mark] = {
    MarkKind.PLAYER: Mark("", MarkKind.PLAYER, ("Forger", "θ [10]")),
    MarkKind.CLONE: Mark("", MarkKind.CLONE, ("Critic~", "0.005 → Critic")),
    MarkKind.BLACK: Mark("", MarkKind.BLACK, ("Nature.sample",)),
    MarkKind.GRAY: Mark("", MarkKind.GRAY, ("Medium.bend",)),
    MarkKind.NOISE: Mark("", MarkKind.NOISE, ("Noise.sample",)),
    MarkKind.OPERATOR: Mark("", MarkKind.OPERATOR, ("Forger", "Linear(4, 2)")),
    MarkKind.LOSS: Mark("", MarkKind.LOSS, ("Loss", "mse_loss()")),
    MarkKind.SEED: Mark("", MarkKind.SEED, sign="−1"),
    MarkKind.PRODUCT: Mark("", MarkKind.PRODUCT, ("Forger",), "*"),
    MarkKind.TAP: Mark("", MarkKind.TAP, ("Deviator",)),
    MarkKind.MINUS: Mark("", MarkKind.MINUS, sign="−"),
    MarkKind.SUM: Mark("", MarkKind.SUM, sign="+"),
    MarkKind.SCALE: Mark("", MarkKind.SCALE, sign="× 0.5"),
    MarkKind.MATRIX: Mark("", MarkKind.MATRIX, ("feedback",)),
    MarkKind.MAP: Mark("", MarkKind.MAP, ("kick",)),
    MarkKind.BROADCAST: Mark("", MarkKind.BROADCAST),
}
LEFT, COLUMN, ROW, TOP, MARGIN = 134.0, 480.0, 54.0, 62.0, 24.0
ROWS = 12


def legend() -> str:
    """The legend as SVG."""
    well = Inkwell("key")
    entries = [_entry(number, what, text, well) for number, (what, text) in enumerate(MEANINGS.items())]
    width, height = 2 * COLUMN + MARGIN, TOP + ROWS * ROW + MARGIN / 2
    body = [
        rectangle(Rectangle(0, 0, width, height), 0, attributes("paper")),
        well.text("The marks and the lines", SIDE, (MARGIN, 36), "start"),
        *entries,
    ]
    size = f'width="{num(width)}" height="{num(height)}" viewBox="0 0 {num(width)} {num(height)}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><title>The marks and the lines</title>'
        f"<defs>{well.patterns}{well.glyphs}</defs>{''.join(body)}</svg>\n"
    )


def _entry(number: int, what: MarkKind | Line | Change, text: str, well: Inkwell) -> str:
    x, y = MARGIN + COLUMN * (number // ROWS), TOP + ROW * (number % ROWS) + ROW / 2
    center = x + LEFT / 2, y
    match what:
        case MarkKind():
            drawn = shape(SPECIMENS[what], Rectangle.around(center, *size_of(SPECIMENS[what])), well)
        case Change():
            mark = Mark("", MarkKind.OPERATOR, ("Forger",), change=what)
            drawn = shape(mark, Rectangle.around(center, *size_of(mark)), well)
        case Line():
            points = tuple((x + 14 + (LEFT - 36) * third / 3, y) for third in range(4))
            drawn = stroke(Arrow("", "", "", what), Curve(points, (x + LEFT - 14, y)), well)
    at = x + LEFT + 14
    name = well.text(str(what), NAME, (at, y - 2), "start")
    below = at, y + 5 + lettering.capital_height(NOTE)
    return "".join(drawn) + name + well.text(text, NOTE, below, "start", "soft")
