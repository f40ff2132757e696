"""Letters as outlines with known widths, so that pictures do not depend on installed fonts."""

import functools
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from antiphon.plugins import missing

try:
    import matplotlib
    from fontTools.pens.boundsPen import BoundsPen
    from fontTools.pens.svgPathPen import SVGPathPen
    from fontTools.pens.transformPen import TransformPen
    from fontTools.ttLib import TTFont
except ImportError as error:
    raise missing("pictures", "pictures", error) from None


class Face(Enum):
    """The fonts in pictures. Values: (a font file of Matplotlib, the letter with which keys of its glyphs begin)."""

    PLAIN = ("DejaVuSans.ttf", "p")
    BOLD = ("DejaVuSans-Bold.ttf", "b")
    SYMBOL = ("STIXGeneralItalic.ttf", "i")
    TITLE = ("STIXGeneralBol.ttf", "t")


@dataclass(frozen=True)
class Style:
    """A font face and its size in points."""

    face: Face
    size: float

    @property
    def height(self) -> float:
        """The height of a line of text in this style, in points."""
        return 1.2 * self.size


@dataclass(frozen=True)
class TextLine:
    """One line of text and its style."""

    text: str
    style: Style

    @property
    def width(self) -> float:
        """The width of the line in points."""
        return width(self.text, self.style)


NAME = Style(Face.BOLD, 11)
DETAIL = Style(Face.PLAIN, 9)
SYMBOL = Style(Face.SYMBOL, 13)
SHAPE = Style(Face.PLAIN, 8.5)
SIGN = Style(Face.BOLD, 15)
SMALL_SIGN = Style(Face.BOLD, 10.5)
TITLE = Style(Face.TITLE, 24)
SIDE = Style(Face.TITLE, 19)
NOTE = Style(Face.PLAIN, 10)


EM = 1000
"""Font units per em. The outlines of every font are rescaled to this number."""


@dataclass(frozen=True)
class Glyph:
    """The outline of a letter. key: unique among all fonts. advance: distance to the next letter. path: SVG path data.

    Lengths are in units of 1 / `EM` of the font size, with y downwards.
    """

    key: str
    advance: float
    path: str


def width(text: str, style: Style) -> float:
    """Return the width of a text in points, computed from the font's metrics."""
    return sum(glyph(style.face, letter).advance for letter in text) * style.size / EM


def capital_height(style: Style) -> float:
    """Return the height of a capital letter in points, used to center a line vertically."""
    return _capital(style.face) * style.size


@functools.cache
def glyph(face: Face, letter: str) -> Glyph:
    """Return the outline of a letter in a font.

    If the font does not have the letter, the outline comes from the plain font. If that does not have the letter
    either, the result is the plain font's glyph for missing letters.
    """
    font = _font(face)
    name = (font.getBestCmap() or {}).get(ord(letter))
    if name is None and face is not Face.PLAIN:
        return glyph(Face.PLAIN, letter)
    factor = EM / _units(face)
    glyphs = font.getGlyphSet()
    pen = SVGPathPen(glyphs, ntos=lambda value: f"{value:.0f}")
    glyphs[name or ".notdef"].draw(TransformPen(pen, (factor, 0, 0, -factor, 0, 0)))
    return Glyph(f"{face.value[1]}{ord(letter):x}", glyphs[name or ".notdef"].width * factor, pen.getCommands())


@functools.cache
def _units(face: Face) -> int:
    return int(_font(face)["head"].unitsPerEm)  # pyright: ignore[reportAttributeAccessIssue] - tables are found by name


@functools.cache
def _capital(face: Face) -> float:
    glyphs = _font(face).getGlyphSet()
    pen = BoundsPen(glyphs)
    glyphs["H"].draw(pen)
    return float(pen.bounds[3]) / _units(face)


@functools.cache
def _font(face: Face) -> TTFont:
    return TTFont(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / face.value[0], lazy=True)
