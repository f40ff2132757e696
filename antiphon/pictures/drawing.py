"""`draw`: the picture of a grammar, shown in a notebook, or saved under a name whose ending says how."""

from dataclasses import dataclass
from pathlib import Path

from antiphon.grammars.grammar import Grammar
from antiphon.pictures.of_grammar import picture_of
from antiphon.pictures.picture import Picture
from antiphon.pictures.svg import svg_of


@dataclass(frozen=True)
class Drawing:
    """A picture that is ready to be seen."""

    grammar: Grammar
    picture: Picture

    @property
    def svg(self) -> str:
        """As SVG."""
        return svg_of(self.picture)

    def _repr_svg_(self) -> str:
        return self.svg


def draw(grammar: Grammar) -> Drawing:
    """The picture of a grammar."""
    return Drawing(grammar, picture_of(grammar))
