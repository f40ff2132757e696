"""Write a picture as one HTML file that shows a round step by step, with the active parts highlighted.

The file works offline.
"""

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
    """Return the HTML page of the picture of a grammar.

    rows: (name, value) for the table on the page; if empty, the table shows the communication cost of the grammar.
    """
    return filled(
        "page.html",
        title=picture.title,
        picture=svg_of(picture),
        rows=rows or counts(grammar),
        paints=PAINTS,
        story=asdict(story_of(grammar, picture)),
    )
