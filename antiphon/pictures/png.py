"""Write a picture as PNG, by rasterizing its SVG."""

from antiphon.pictures.picture import Picture
from antiphon.pictures.sheet import sheet_of
from antiphon.pictures.svg import svg_of
from antiphon.plugins import missing

try:
    import resvg_py
except ImportError as error:
    raise missing("pictures", "pictures", error) from None

ZOOM = 2.0
"""Pixels per point (1/72 inch) in a PNG."""
MOST = 16_000
"""Maximum width and height of a PNG in pixels. A larger picture is drawn at a smaller scale."""


def png_of(picture: Picture) -> bytes:
    """Return a picture as the bytes of a PNG file.

    It has `ZOOM` pixels per point, or fewer if width or height would exceed `MOST` pixels.
    """
    sheet = sheet_of(picture)
    zoom = min(ZOOM, MOST / max(sheet.width, sheet.height))
    width = round(sheet.width * zoom)
    return bytes(resvg_py.svg_to_bytes(svg_string=svg_of(picture), skip_system_fonts=True, width=width))
