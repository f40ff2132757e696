"""A picture as PNG, of its SVG."""

import resvg_py

ZOOM = 2.0
"""Pixels per point."""
MOST = 16_000
"""Pixels that either side may have; a picture that would have more is drawn smaller."""


def png_of(svg: str, width: float, height: float) -> bytes:
    """The SVG rasterized, at `ZOOM` pixels per point where it fits."""
    zoom = min(ZOOM, MOST / max(width, height))
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True, width=round(width * zoom)))
