"""A picture as PNG, rasterized from its SVG."""

from antiphon.pictures.picture import Picture
from antiphon.pictures.sheet import sheet_of
from antiphon.pictures.svg import svg_of
from antiphon.plugins import missing

try:
    import resvg_py
except ImportError as error:
    raise missing("pictures", "pictures", error) from None

ZOOM = 2.0
"""Pixels per point."""
MOST = 16_000
"""Maximum width and height of a picture in pixels. A larger picture is drawn at a smaller scale."""


def png_of(picture: Picture) -> bytes:
    """Return the picture as PNG, at `ZOOM` pixels per point, or fewer if it would exceed `MOST` pixels."""
    sheet = sheet_of(picture)
    zoom = min(ZOOM, MOST / max(sheet.width, sheet.height))
    width = round(sheet.width * zoom)
    return bytes(resvg_py.svg_to_bytes(svg_string=svg_of(picture), skip_system_fonts=True, width=width))
