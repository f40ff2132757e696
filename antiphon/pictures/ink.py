"""Write SVG elements with their colours, and text as outlines of letters. Equal input gives equal bytes."""

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

from antiphon.pictures import lettering
from antiphon.pictures.geometry import Point, Rectangle
from antiphon.pictures.lettering import NAME, NOTE, TITLE, Glyph, Style, TextLine

PAINTS: Mapping[str, str] = {
    "ink": "#1d222b",
    "paper": "#ffffff",
    "soft": "#5b6472",
    "faint": "#b9c0cb",
    "hatch": "#a7afbb",
    "player": "#fff0c9",
    "loss": "#fde2dc",
    "product": "#e6eefc",
    "map": "#efe6fb",
    "first": "#1b4d9e",
    "cut": "#b3261e",
    "added": "#bfe8cf",
    "removed": "#f7c9c4",
}
"""Colours by name. A page can change them by CSS class: `f-name` for fills, `s-name` for strokes."""


def num(value: float) -> str:
    """Return a coordinate as text, rounded to a tenth of a point.

    >>> num(3.04), num(-0.01)
    ('3', '0')
    """
    text = f"{value:.1f}"
    text = text.removesuffix(".0")
    return "0" if text == "-0" else text


def at(point: Point) -> str:
    """Return the coordinates of a point as the text "x y", as in SVG paths."""
    return f"{num(point[0])} {num(point[1])}"


def attributes(fill: str = "", stroke: str = "", width: float = 1.2, dash: str = "") -> str:
    """Return the fill and stroke attributes of an SVG element.

    fill: a key of `PAINTS`, a pattern from `Inkwell.pattern`, or "none". stroke: a key of `PAINTS`; "" for no stroke.
    width: width of the stroke, in points. dash: the dash pattern of SVG; empty for a solid line.
    """
    classes = [*([f"f-{fill}"] if fill in PAINTS else []), *([f"s-{stroke}"] if stroke else [])]
    parts = [f'class="{" ".join(classes)}"'] if classes else []
    parts.append(f'fill="{PAINTS.get(fill, fill or "none")}"')
    if stroke:
        parts.append(f'stroke="{PAINTS[stroke]}" stroke-width="{num(width)}"')
    if dash:
        parts.append(f'stroke-dasharray="{dash}"')
    return " ".join(parts)


def path(d: str, paint: str) -> str:
    """Return an SVG path. d: path data in SVG syntax. paint: fill and stroke, from the function `attributes`."""
    return f'<path d="{d}" {paint}/>'


def polygon(points: Sequence[Point], paint: str) -> str:
    """Return a closed SVG polygon with round corners. paint: fill and stroke, from the function `attributes`."""
    d = "M" + "L".join(map(at, points)) + "Z"
    return f'<path d="{d}" stroke-linejoin="round" {paint}/>'


def rectangle(box: Rectangle, radius: float, paint: str) -> str:
    """Return an SVG rectangle with round corners. paint: fill and stroke, from the function `attributes`."""
    corner = f' rx="{num(radius)}"' if radius else ""
    place = f'x="{num(box.x)}" y="{num(box.y)}" width="{num(box.width)}" height="{num(box.height)}"'
    return f"<rect {place}{corner} {paint}/>"


def circle(center: Point, radius: float, paint: str) -> str:
    """Return an SVG circle. paint: fill and stroke, from the function `attributes`."""
    return f'<circle cx="{num(center[0])}" cy="{num(center[1])}" r="{num(radius)}" {paint}/>'


def group(content: Sequence[str], classes: str, label: str = "", **data: str) -> str:
    """Return an SVG group of elements.

    classes: CSS classes. label: text for screen readers. data: attributes `data-...`, for the script of the HTML page.
    """
    marks = "".join(f" data-{key}={quoteattr(value)}" for key, value in data.items())
    spoken = f' role="img" aria-label={quoteattr(label)}' if label else ""
    return f'<g class="{classes}"{marks}{spoken}>{"".join(content)}</g>'


class Inkwell:
    """Writes text as outlines of letters, and collects the outlines, which the SVG file must define.

    prefix: the beginning of every id in the file, so that several pictures can be on one HTML page.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._used: dict[str, Glyph] = {}

    def text(self, text: str, style: Style, place: Point, anchor: str = "middle", fill: str = "ink") -> str:
        """Return one line of text as SVG.

        place: the start, middle or end of the text's baseline. anchor: which of these: "start", "middle" or "end".
        fill: a key of `PAINTS`.
        """
        x = place[0] - {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * lettering.width(text, style)
        at, uses = 0.0, []
        for letter in text:
            found = lettering.glyph(style.face, letter)
            if found.path:
                self._used[found.key] = found
                uses.append(f'<use href="#{self.prefix}{found.key}" x="{at:.0f}"/>')
            at += found.advance
        scale = f"{style.size / lettering.EM:g}"
        return (
            f'<g {attributes(fill)} transform="translate({num(x)} {num(place[1])}) scale({scale})">{"".join(uses)}</g>'
        )

    def centered(self, text: str, style: Style, center: Point, fill: str = "ink") -> str:
        """Return one line of text as SVG, centered at a point."""
        return self.text(text, style, (center[0], center[1] + lettering.capital_height(style) / 2), fill=fill)

    def block(self, lines: Sequence[TextLine], center: Point, name: str = "ink", detail: str = "soft") -> list[str]:
        """Return several lines of text as SVG, one below the other, centered at a point.

        name, detail: colours of lines in the style `NAME`, and of all other lines.
        """
        found, top = [], center[1] - sum(line.style.height for line in lines) / 2
        for line in lines:
            middle = center[0], top + line.style.height / 2
            found.append(self.centered(line.text, line.style, middle, name if line.style is NAME else detail))
            top += line.style.height
        return found

    def heading(self, title: str, notes: Sequence[str], margin: float) -> list[str]:
        """Return the title of a picture as SVG, with one line for each note below it."""
        below = enumerate(notes)
        return [
            self.text(title, TITLE, (margin, margin + 19), "start"),
            *(self.text(note, NOTE, (margin, margin + 37 + 14 * line), "start", "soft") for line, note in below),
        ]

    def plate(self, text: str, frame: Rectangle) -> list[str]:
        """Return the title of a frame as SVG, on a background that hides the lines behind the title."""
        back = Rectangle(frame.x + 9, frame.y + 5, lettering.width(text, NOTE) + 6, 15)
        words = self.text(text, NOTE, (frame.x + 12, frame.y + 16), "start", "soft")
        return [rectangle(back, 2, attributes("paper")), words]

    def page(self, title: str, width: float, height: float, body: Sequence[str], role: str = "group") -> str:
        """Return the text of an SVG file. body: SVG elements, made by this object. role: role for screen readers."""
        size = f'width="{num(width)}" height="{num(height)}" viewBox="0 0 {num(width)} {num(height)}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="{role}"><title>{escape(title)}</title>'
            f"<defs>{self.patterns}{self.glyphs}</defs>"
            f"{rectangle(Rectangle(0, 0, width, height), 0, attributes('paper'))}{''.join(body)}</svg>\n"
        )

    @property
    def glyphs(self) -> str:
        """The outlines of all letters that were used, as SVG definitions."""
        return "".join(f'<path id="{self.prefix}{key}" d="{self._used[key].path}"/>' for key in sorted(self._used))

    @property
    def patterns(self) -> str:
        """The definitions of two SVG patterns: hatching for gray boxes, dots for noise."""
        hatch = path("M-1 7L7 -1M-1 1L1 -1M5 7L7 5", attributes("none", "hatch", 1.2))
        dots = circle((1.5, 1.5), 0.9, attributes("hatch")) + circle((4.5, 4.5), 0.9, attributes("hatch"))
        kind = 'patternUnits="userSpaceOnUse" width="6" height="6"'
        return (
            f'<pattern id="{self.prefix}hatch" {kind}>{hatch}</pattern>'
            f'<pattern id="{self.prefix}dots" {kind}>{dots}</pattern>'
        )

    def pattern(self, name: str) -> str:
        """Return the value of the SVG attribute `fill` for the pattern "hatch" or "dots"."""
        return f"url(#{self.prefix}{name})"
