"""Write a picture as an SVG file without fonts or scripts. Equal pictures give equal bytes."""

import itertools

from antiphon.pictures.geometry import Curve, Rectangle
from antiphon.pictures.graphviz import Placed
from antiphon.pictures.ink import Inkwell, attributes, group, num, path, rectangle
from antiphon.pictures.lettering import NOTE, SIDE
from antiphon.pictures.picture import Arrow, Change, Line, Mark, MarkKind, Picture
from antiphon.pictures.shapes import outline, shape
from antiphon.pictures.sheet import HEAD, MARGIN, SAMPLE, Entry, Sheet, sheet_of
from antiphon.pictures.strokes import label, stroke


def svg_of(picture: Picture) -> str:
    """Return a picture as the text of an SVG file, with title and legend."""
    sheet, well = sheet_of(picture), Inkwell(f"p{picture.digest[:5]}")
    body = [
        _heading(sheet, well),
        *[_side(*each, well) for each in sheet.sides],
        group([_sample(entry, well) + entry.words(well) for entry in sheet.key], "key"),
    ]
    return well.page(f"{picture.title}: {', '.join(picture.subtitles)}", sheet.width, sheet.height, body)


def _heading(sheet: Sheet, well: Inkwell) -> str:
    """Draw the title of a picture, and a line between its graphs if there are two. Returns SVG."""
    drawn = well.heading(sheet.picture.title, sheet.picture.subtitles, MARGIN)
    top, bottom = MARGIN + HEAD - 22, sheet.key[0].box.y - 16
    for (left, x, _), (_, right, _) in itertools.pairwise(sheet.sides):
        middle = (x + left.paper.width + right) / 2
        drawn.append(path(f"M{num(middle)} {num(top)}V{num(bottom)}", attributes("none", "faint", 1)))
    return group(drawn, "heading")


def _side(placed: Placed, dx: float, dy: float, well: Inkwell) -> str:
    side = placed.side
    middle = placed.paper.width / 2
    top = MARGIN + HEAD - dy - 18
    content: list[str] = []
    if side.title:
        content.append(well.text(side.letter, SIDE, (middle - 4, top), "end"))
        content.append(well.text(side.title, NOTE, (middle + 4, top), "start", "soft"))
    titles = dict(side.frames)
    for box in placed.frames.values():
        content.append(rectangle(box, 8, attributes("none", "faint", 1.4)))
    for arrow in side.arrows:
        content.append(_arrow(arrow, placed.curves[arrow.id], well))
    for name, box in placed.frames.items():
        content += well.plate(titles[name], box)
    for mark in side.marks:
        drawn = shape(mark, placed.marks[mark.id], well)
        more = {key: said for key, said in (("owner", mark.owner), ("asks", mark.asks)) if said}
        content.append(group(drawn, f"mark {mark.kind.name.lower()} {mark.change}", mark.tip, id=mark.id, **more))
    for arrow in side.arrows:
        if arrow.id in placed.labels:
            content.append(group(label(arrow, placed.labels[arrow.id], well), "label", id=arrow.id))
    return f'<g class="side" transform="translate({num(dx)} {num(dy)})">{"".join(content)}</g>'


def _arrow(arrow: Arrow, curve: Curve, well: Inkwell) -> str:
    ends = {"source": arrow.source, "target": arrow.target}
    return group(stroke(arrow, curve, well), f"arrow {arrow.line.name.lower()} {arrow.change}", id=arrow.id, **ends)


def _sample(entry: Entry, well: Inkwell) -> str:
    """Draw the sample of a legend entry: an arrow, a mark (drawn node) that differs, or a mark with its sign."""
    x, y = entry.box.x, entry.box.center[1]
    center = x + SAMPLE / 2, y
    match entry.what:
        case Line():
            return "".join(stroke(Arrow("", "", "", entry.what), Curve.straight((x, y), (x + SAMPLE - 2, y)), well))
        case Change():
            return "".join(
                shape(Mark("", MarkKind.OPERATOR, change=entry.what), Rectangle.around(center, 22, 10), well)
            )
        case what:
            kind = MarkKind(what)
            drawn = outline(kind, Rectangle.around(center, *_SAMPLES.get(kind, (30, 17))), well)
            signs = {MarkKind.MINUS: "−", MarkKind.SUM: "+", MarkKind.SCALE: "×"}
            return "".join(drawn) + (well.centered(signs[kind], NOTE, center) if kind in signs else "")


_SAMPLES = {
    MarkKind.MINUS: (18, 18),
    MarkKind.SUM: (18, 18),
    MarkKind.SEED: (20, 17),
    MarkKind.CUT: (30, 14),
    MarkKind.FROZEN: (20, 20),
    MarkKind.HELD: (20, 22),
    MarkKind.BROADCAST: (30, 12),
    MarkKind.REPLICAS: (30, 20),
    MarkKind.SCAN: (36, 20),
    MarkKind.THROUGH_TIME: (38, 20),
    MarkKind.TRUNCATED: (38, 20),
}
"""For some kinds of marks: the size of the sample in the legend, in points; (30, 17) for other kinds."""
