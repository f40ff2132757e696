"""The legend of the graphical language: every mark and every line with its meaning."""

from collections.abc import Mapping

from antiphon.pictures import lettering
from antiphon.pictures.geometry import Box, Curve
from antiphon.pictures.ink import Inkwell
from antiphon.pictures.lettering import NAME, NOTE, SIDE
from antiphon.pictures.picture import Arrow, Change, Kind, Line, Mark
from antiphon.pictures.shapes import shape
from antiphon.pictures.sizes import size_of
from antiphon.pictures.strokes import stroke

MEANINGS: Mapping[Kind | Line | Change, str] = {
    Kind.PLAYER: "has parameters; in R, it receives responses",
    Kind.CLONE: "a copy that follows a player's parameters",
    Kind.BLACK: "an oracle that returns values only",
    Kind.GRAY: "an oracle that also returns gradients",
    Kind.NOISE: "an oracle that draws random values",
    Kind.OPERATOR: "a function, with a player's parameters or without",
    Kind.LOSS: "a number that is minimised or maximised",
    Kind.SEED: "where responses begin, with the objective's sign",
    Kind.PRODUCT: "vector-Jacobian product of a node of Q",
    Kind.TAP: "a value of Q that R uses as it is",
    Kind.MINUS: "an edit: the message is negated",
    Kind.SUM: "messages are added",
    Kind.SCALE: "an edit: the message is multiplied by a number",
    Kind.MATRIX: "an edit: the message is multiplied by a fixed matrix",
    Kind.MAP: "an edit: any other fixed function",
    Kind.BROADCAST: "one message with several receivers",
    Line.ZEROTH: "a value",
    Line.FIRST: "a gradient, or a value computed from gradients",
    Line.PARAMETERS: "parameters of a player or a clone",
    Line.CUT: "a gradient of the chain rule that R does not send",
    Change.ADDED: "only in this grammar, not in the other",
    Change.REMOVED: "only in the other grammar",
    Change.OTHER: "different in the other grammar",
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
    title = "The marks and the lines"
    body = [well.text(title, SIDE, (MARGIN, 36), "start"), *entries]
    return well.page(title, width, height, body, "img")


def _entry(number: int, what: Kind | Line | Change, text: str, well: Inkwell) -> str:
    x, y = MARGIN + COLUMN * (number // ROWS), TOP + ROW * (number % ROWS) + ROW / 2
    center = x + LEFT / 2, y
    match what:
        case Kind():
            drawn = shape(SPECIMENS[what], Box.around(center, *size_of(SPECIMENS[what])), well)
        case Change():
            mark = Mark("", Kind.OPERATOR, ("Forger",), change=what)
            drawn = shape(mark, Box.around(center, *size_of(mark)), well)
        case Line():
            drawn = stroke(Arrow("", "", "", what), Curve.straight((x + 14, y), (x + LEFT - 14, y)), well)
    at = x + LEFT + 14
    name = well.text(str(what), NAME, (at, y - 2), "start")
    below = at, y + 5 + lettering.capital_height(NOTE)
    return "".join(drawn) + name + well.text(text, NOTE, below, "start", "soft")
