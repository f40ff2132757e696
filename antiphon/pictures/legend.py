"""The legend of the graphical language: every mark and every line with its meaning."""

from collections.abc import Mapping

from antiphon.pictures import lettering
from antiphon.pictures.geometry import Curve, Rectangle
from antiphon.pictures.ink import Inkwell, attributes, num, rectangle
from antiphon.pictures.lettering import NAME, NOTE, SIDE
from antiphon.pictures.picture import Arrow, Change, Kind, Line, Mark
from antiphon.pictures.shapes import shape
from antiphon.pictures.sizes import size_of
from antiphon.pictures.strokes import stroke

MEANINGS: Mapping[Kind | Line | Change, str] = {
    Kind.PLAYER: "plays parameters; in R, it hears",
    Kind.CLONE: "a copy of a player that follows it",
    Kind.BLACK: "an oracle that answers values only",
    Kind.GRAY: "an oracle that tells gradients too",
    Kind.NOISE: "an oracle that answers draws",
    Kind.OPERATOR: "a function; with parameters, if a player plays into it",
    Kind.LOSS: "a scalar that goes down, or up",
    Kind.SEED: "where responses begin: the objective's sign",
    Kind.PRODUCT: "vector-Jacobian product of a node of Q",
    Kind.TAP: "a value that Q computed, told as it is",
    Kind.MINUS: "an edit: the message changes its sign",
    Kind.SUM: "messages that meet are added",
    Kind.SCALE: "an edit: the message times a number",
    Kind.MATRIX: "an edit: the message times a fixed matrix",
    Kind.MAP: "an edit: any other fixed function",
    Kind.BROADCAST: "one message that several hear",
    Line.ZEROTH: "a value",
    Line.FIRST: "what comes of a derivative",
    Line.PARAMETERS: "what a player plays",
    Line.CUT: "what the chain rule would tell, and R does not",
    Change.ADDED: "against another grammar: only here",
    Change.REMOVED: "against another grammar: only there",
    Change.OTHER: "against another grammar: not the same",
}
SPECIMENS: Mapping[Kind, Mark] = {
    Kind.PLAYER: Mark("", Kind.PLAYER, ("Forger", "θ [10]")),
    Kind.CLONE: Mark("", Kind.CLONE, ("Critic~", "0.005 → Critic")),
    Kind.BLACK: Mark("", Kind.BLACK, ("Nature.sample",)),
    Kind.GRAY: Mark("", Kind.GRAY, ("Medium.bend",)),
    Kind.NOISE: Mark("", Kind.NOISE, ("Noise.sample",)),
    Kind.OPERATOR: Mark("", Kind.OPERATOR, ("Forger", "Linear(4, 2)")),
    Kind.LOSS: Mark("", Kind.LOSS, ("Loss", "mse_loss()")),
    Kind.SEED: Mark("", Kind.SEED, sign="−1"),
    Kind.PRODUCT: Mark("", Kind.PRODUCT, ("Forger",), "*"),
    Kind.TAP: Mark("", Kind.TAP, ("Deviator",)),
    Kind.MINUS: Mark("", Kind.MINUS, sign="−"),
    Kind.SUM: Mark("", Kind.SUM, sign="+"),
    Kind.SCALE: Mark("", Kind.SCALE, sign="× 0.5"),
    Kind.MATRIX: Mark("", Kind.MATRIX, ("feedback",)),
    Kind.MAP: Mark("", Kind.MAP, ("kick",)),
    Kind.BROADCAST: Mark("", Kind.BROADCAST),
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


def _entry(number: int, what: Kind | Line | Change, text: str, well: Inkwell) -> str:
    x, y = MARGIN + COLUMN * (number // ROWS), TOP + ROW * (number % ROWS) + ROW / 2
    center = x + LEFT / 2, y
    match what:
        case Kind():
            drawn = shape(SPECIMENS[what], Rectangle.around(center, *size_of(SPECIMENS[what])), well)
        case Change():
            mark = Mark("", Kind.OPERATOR, ("Forger",), change=what)
            drawn = shape(mark, Rectangle.around(center, *size_of(mark)), well)
        case Line():
            points = tuple((x + 14 + (LEFT - 36) * third / 3, y) for third in range(4))
            drawn = stroke(Arrow("", "", "", what), Curve(points, (x + LEFT - 14, y)), well)
    at = x + LEFT + 14
    name = well.text(str(what), NAME, (at, y - 2), "start")
    below = at, y + 5 + lettering.capital_height(NOTE)
    return "".join(drawn) + name + well.text(text, NOTE, below, "start", "soft")
