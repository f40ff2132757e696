"""The legend of the pictures of grammars: every mark (drawn node) and every kind of arrow, with its meaning."""

from collections.abc import Mapping

from antiphon.pictures import lettering
from antiphon.pictures.geometry import Curve, Rectangle
from antiphon.pictures.ink import Inkwell
from antiphon.pictures.lettering import NAME, NOTE, SIDE
from antiphon.pictures.picture import Arrow, Change, Line, Mark, MarkKind
from antiphon.pictures.shapes import shape
from antiphon.pictures.sizes import size_of
from antiphon.pictures.strokes import stroke

MEANINGS: Mapping[MarkKind | Line | Change, str] = {
    MarkKind.PLAYER: "has parameters; in R, it receives responses",
    MarkKind.CLONE: "a copy that follows a player's parameters",
    MarkKind.BLACK: "an oracle that returns values only",
    MarkKind.GRAY: "an oracle that also returns gradients",
    MarkKind.NOISE: "an oracle that draws random values",
    MarkKind.OPERATOR: "a function, with a player's parameters or without",
    MarkKind.SCAN: "an operator, applied to every step of a sequence",
    MarkKind.LOSS: "a number that is minimised or maximised",
    MarkKind.SEED: "where responses begin, with the objective's sign",
    MarkKind.PRODUCT: "vector-Jacobian product of a node of Q",
    MarkKind.THROUGH_TIME: "a product that goes back through all steps",
    MarkKind.TRUNCATED: "an edit: it goes back through some steps only",
    MarkKind.TAP: "a value of Q that R uses as it is",
    MarkKind.MINUS: "an edit: the message is negated",
    MarkKind.SUM: "messages are added",
    MarkKind.SCALE: "an edit: the message is multiplied by a number",
    MarkKind.MATRIX: "an edit: the message is multiplied by a fixed matrix",
    MarkKind.MAP: "an edit: any other fixed function",
    MarkKind.BYPASS: "an edit: a function leads a gradient past a product",
    MarkKind.BROADCAST: "one message with several receivers",
    MarkKind.FROZEN: "an edit: the player does not learn from this use",
    MarkKind.HELD: "the objective holds a value fixed",
    MarkKind.WORKER: "in a placement: a process, and what it holds",
    MarkKind.REPLICAS: "in a placement: a worker and its replicas",
    MarkKind.AGENTS: "in a placement: a worker with agents only",
    Line.ZEROTH: "a value",
    Line.FIRST: "a gradient, or a value computed from gradients",
    Line.PARAMETERS: "parameters of a player or a clone",
    Line.CUT: "a gradient of the chain rule that R does not send",
    Change.ADDED: "only in this grammar, not in the other",
    Change.REMOVED: "only in the other grammar",
    Change.OTHER: "different in the other grammar",
}
SPECIMENS: Mapping[MarkKind, Mark] = {
    MarkKind.PLAYER: Mark("", MarkKind.PLAYER, ("Forger", "θ [10]")),
    MarkKind.CLONE: Mark("", MarkKind.CLONE, ("Critic~", "0.005 → Critic")),
    MarkKind.BLACK: Mark("", MarkKind.BLACK, ("Nature.sample",)),
    MarkKind.GRAY: Mark("", MarkKind.GRAY, ("Medium.bend",)),
    MarkKind.NOISE: Mark("", MarkKind.NOISE, ("Noise.sample",)),
    MarkKind.OPERATOR: Mark("", MarkKind.OPERATOR, ("Forger", "Linear(4, 2)")),
    MarkKind.SCAN: Mark("", MarkKind.SCAN, ("Cell", "64 steps")),
    MarkKind.LOSS: Mark("", MarkKind.LOSS, ("Loss", "mse_loss()")),
    MarkKind.SEED: Mark("", MarkKind.SEED, sign="−1"),
    MarkKind.PRODUCT: Mark("", MarkKind.PRODUCT, ("Forger",), "*"),
    MarkKind.THROUGH_TIME: Mark("", MarkKind.THROUGH_TIME, ("Cell", "64 steps"), "*"),
    MarkKind.TRUNCATED: Mark("", MarkKind.TRUNCATED, ("Cell", "BPTT(16; 4)"), "*"),
    MarkKind.TAP: Mark("", MarkKind.TAP, ("Deviator",)),
    MarkKind.MINUS: Mark("", MarkKind.MINUS, sign="−"),
    MarkKind.SUM: Mark("", MarkKind.SUM, sign="+"),
    MarkKind.SCALE: Mark("", MarkKind.SCALE, sign="× 0.5"),
    MarkKind.MATRIX: Mark("", MarkKind.MATRIX, ("feedback",)),
    MarkKind.MAP: Mark("", MarkKind.MAP, ("kick",)),
    MarkKind.BYPASS: Mark("", MarkKind.BYPASS, ("feedback",)),
    MarkKind.BROADCAST: Mark("", MarkKind.BROADCAST),
    MarkKind.FROZEN: Mark("", MarkKind.FROZEN),
    MarkKind.HELD: Mark("", MarkKind.HELD),
    MarkKind.WORKER: Mark("", MarkKind.WORKER, ("Actor", "1 CPU")),
    MarkKind.REPLICAS: Mark("", MarkKind.REPLICAS, ("Critic × 3", "1 GPU")),
    MarkKind.AGENTS: Mark("", MarkKind.AGENTS, ("Critic.agent", "1 CPU")),
}
LEFT, COLUMN, ROW, TOP, MARGIN = 134.0, 480.0, 54.0, 62.0, 24.0
ROWS = 15


def legend() -> str:
    """Return the legend of all marks and arrows in pictures of grammars, as an SVG file."""
    well = Inkwell("key")
    entries = [_entry(number, what, text, well) for number, (what, text) in enumerate(MEANINGS.items())]
    width, height = 2 * COLUMN + MARGIN, TOP + ROWS * ROW + MARGIN / 2
    title = "The marks and the lines"
    body = [well.text(title, SIDE, (MARGIN, 36), "start"), *entries]
    return well.page(title, width, height, body, "img")


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
            drawn = stroke(Arrow("", "", "", what), Curve.straight((x + 14, y), (x + LEFT - 14, y)), well)
    at = x + LEFT + 14
    name = well.text(str(what), NAME, (at, y - 2), "start")
    below = at, y + 5 + lettering.capital_height(NOTE)
    return "".join(drawn) + name + well.text(text, NOTE, below, "start", "soft")
