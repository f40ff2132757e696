"""A picture as one HTML file that plays a round step by step and highlights the active parts. It works offline."""

from collections.abc import Sequence
from dataclasses import asdict

from antiphon.grammars.grammar import Grammar
from antiphon.pictures.counts import Row, counts
from antiphon.pictures.ink import PAINTS
from antiphon.pictures.picture import Picture
from antiphon.pictures.story import story_of
from antiphon.pictures.svg import svg_of
from antiphon.pictures.templates import filled


def page_of(grammar: Grammar, picture: Picture, rows: Sequence[Row] = ()) -> str:
    """Return the HTML page of a picture. rows: its table. If empty, the table shows the counts of Q and R."""
    return filled(
        "page.html",
        title=picture.title,
        picture=svg_of(picture),
        rows=rows or counts(grammar),
        paints=PAINTS,
        story=asdict(story_of(grammar, picture)),
    )
