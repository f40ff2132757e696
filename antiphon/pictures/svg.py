"""A picture as SVG: one file without fonts or scripts. Equal pictures give equal bytes."""

from xml.sax.saxutils import escape

from antiphon.pictures import lettering
from antiphon.pictures.geometry import Curve, Rectangle
from antiphon.pictures.graphviz import Placed
from antiphon.pictures.ink import Inkwell, attributes, group, num, path, rectangle
from antiphon.pictures.lettering import NOTE, SIDE, TITLE
from antiphon.pictures.picture import Arrow, Change, Line, Mark, MarkKind, Picture
from antiphon.pictures.shapes import outline, shape
from antiphon.pictures.sheet import HEAD, MARGIN, SAMPLE, Entry, Sheet, sheet_of
from antiphon.pictures.strokes import label, stroke


def svg_of(picture: Picture) -> str:
    """The whole page of a picture as SVG."""
    sheet, well = sheet_of(picture), Inkwell(f"p{picture.digest[:5]}")
    body = [
        rectangle(Rectangle(0, 0, sheet.width, sheet.height), 0, attributes("paper")),
        *_heading(sheet, well),
        *[_side(*each, well) for each in sheet.sides],
        group([_entry(entry, well) for entry in sheet.key], "key"),
    ]
    size = f'width="{num(sheet.width)}" height="{num(sheet.height)}"'
    view = f'viewBox="0 0 {num(sheet.width)} {num(sheet.height)}"'
    title = escape(f"{picture.title}: {', '.join(picture.subtitles)}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} role="group"><title>{title}</title>'
        f"<defs>{well.patterns}{well.glyphs}</defs>{''.join(body)}</svg>\n"
    )


def _heading(sheet: Sheet, well: Inkwell) -> list[str]:
    found = [well.text(sheet.picture.title, TITLE, (MARGIN, MARGIN + 19), "start")]
    for number, line in enumerate(sheet.picture.subtitles):
        found.append(well.text(line, NOTE, (MARGIN, MARGIN + 37 + 14 * number), "start", "soft"))
    middle = (sheet.sides[0][1] + sheet.sides[0][0].paper.width + sheet.sides[1][1]) / 2
    top, bottom = MARGIN + HEAD - 22, sheet.key[0].box.y - 16
    found.append(path(f"M{num(middle)} {num(top)}V{num(bottom)}", attributes("none", "faint", 1)))
    return [group(found, "heading")]


def _side(placed: Placed, dx: float, dy: float, well: Inkwell) -> str:
    side = placed.side
    middle = placed.paper.width / 2
    top = MARGIN + HEAD - dy - 18
    content = [
        well.text(side.letter, SIDE, (middle - 4, top), "end"),
        well.text(side.title, NOTE, (middle + 4, top), "start", "soft"),
    ]
    titles = dict(side.frames)
    for box in placed.frames.values():
        content.append(rectangle(box, 8, attributes("none", "faint", 1.4)))
    for arrow in side.arrows:
        content.append(_arrow(arrow, placed.curves[arrow.id], well))
    for name, box in placed.frames.items():
        plate = Rectangle(box.x + 9, box.y + 5, lettering.width(titles[name], NOTE) + 6, 15)
        content.append(rectangle(plate, 2, attributes("paper")))
        content.append(well.text(titles[name], NOTE, (box.x + 12, box.y + 16), "start", "soft"))
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


def _entry(entry: Entry, well: Inkwell) -> str:
    box = entry.box
    center = box.x + SAMPLE / 2, box.y + box.height / 2
    text = well.text(entry.text, NOTE, (box.x + SAMPLE + 6, center[1] + 3.6), "start", "soft")
    match entry.what:
        case Line():
            x, y = box.x, center[1]
            curve = Curve(((x, y), (x + 9, y), (x + 17, y), (x + SAMPLE - 10, y)), (x + SAMPLE - 2, y))
            return "".join(stroke(Arrow("", "", "", entry.what), curve, well)) + text
        case Change():
            mark = Mark("", MarkKind.OPERATOR, change=entry.what)
            return "".join(shape(mark, Rectangle.around(center, 22, 10), well)) + text
        case MarkKind():
            return (
                "".join(sample(entry.what, Rectangle.around(center, *_SAMPLES.get(entry.what, (30, 17))), well)) + text
            )


def sample(kind: MarkKind, box: Rectangle, well: Inkwell) -> list[str]:
    """A small sample of a kind, with its sign if it has one."""
    signs = {MarkKind.MINUS: "−", MarkKind.SUM: "+", MarkKind.SCALE: "×"}
    found = outline(kind, box, well)
    if kind in signs:
        found.append(well.centered(signs[kind], NOTE, box.center))
    return found


_SAMPLES = {
    MarkKind.MINUS: (18, 18),
    MarkKind.SUM: (18, 18),
    MarkKind.SEED: (20, 17),
    MarkKind.CUT: (30, 14),
    MarkKind.BROADCAST: (30, 12),
}
"""The size of a sample, if it is not (30, 17)."""
