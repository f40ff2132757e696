"""Make the picture of a grammar."""

from antiphon.grammars.grammar import Grammar
from antiphon.pictures.derived import Derived
from antiphon.pictures.picture import Picture
from antiphon.pictures.query_side import query_side
from antiphon.pictures.response_side import response_side
from antiphon.pictures.symbols import clipped


def picture_of(grammar: Grammar | Derived) -> Picture:
    """Q and R as marks and arrows. Equal grammars give equal pictures in every process."""
    subtitles = (clipped(f"{grammar.objective!r}", 90), f"guarantee: {grammar.guarantee!r}")
    sides = query_side(grammar.query), response_side(grammar)
    return Picture(grammar.name, subtitles, *sides)
