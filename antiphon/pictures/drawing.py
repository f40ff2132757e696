"""`draw`: the picture of a grammar, shown in a notebook, or saved under a name whose ending says how."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from antiphon.errors import ExperimentError
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.typed import typed
from antiphon.pictures.comparison import compared, differences, ruled
from antiphon.pictures.counts import Row
from antiphon.pictures.dot import dot_of
from antiphon.pictures.mermaid import mermaid_of
from antiphon.pictures.of_grammar import picture_of
from antiphon.pictures.picture import Picture


@dataclass(frozen=True)
class Drawing:
    """A picture that is ready to be seen. rows: of the table on its page; counts of its graphs if there are none."""

    grammar: Grammar
    picture: Picture
    rows: Sequence[Row] = ()

    @property
    def svg(self) -> str:
        """As SVG."""
        from antiphon.pictures.svg import svg_of  # here: text needs no fonts and no layout

        return svg_of(self.picture)

    @property
    def png(self) -> bytes:
        """As PNG."""
        from antiphon.pictures.png import png_of

        return png_of(self.picture)

    @property
    def html(self) -> str:
        """As a page that shows who hears what, and plays a round step by step."""
        from antiphon.pictures.page import page_of

        return page_of(self.grammar, self.picture, self.rows)

    @property
    def mermaid(self) -> str:
        """As Mermaid."""
        return mermaid_of(self.picture)

    @property
    def markdown(self) -> str:
        """As Mermaid in a fenced block."""
        return f"```mermaid\n{self.mermaid}```\n"

    @property
    def dot(self) -> str:
        """As DOT."""
        return dot_of(self.picture)

    @property
    def differences(self) -> tuple[str, ...]:
        """A line for each mark and arrow that differs, where it was drawn against another grammar."""
        return tuple(differences(self.picture))

    @typed
    def save(self, path: str | Path) -> Path:
        """Write it; the ending chooses: .svg, .png, .html, .mmd or .md (Mermaid), .dot or .gv.

        Raises ExperimentError for another ending, or a path that cannot be written.
        """
        path = Path(path)
        made = format_of(path)(self)
        try:
            path.write_bytes(made if isinstance(made, bytes) else made.encode())
        except OSError as error:
            raise ExperimentError(
                f"the picture {str(path)!r} cannot be written: {error.strerror}. Expected a file in a folder that "
                "exists and may be written to; correct the path."
            ) from None
        return path

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"drawing of {self.picture.title}: save it as {', '.join(FORMATS)}"


FORMATS: Mapping[str, Callable[[Drawing], str | bytes]] = {
    ".svg": lambda drawing: drawing.svg,
    ".png": lambda drawing: drawing.png,
    ".html": lambda drawing: drawing.html,
    ".mmd": lambda drawing: drawing.mermaid,
    ".md": lambda drawing: drawing.markdown,
    ".dot": lambda drawing: drawing.dot,
    ".gv": lambda drawing: drawing.dot,
}
"""How a picture is written, by the ending of its name."""


def format_of(path: Path) -> Callable[[Drawing], str | bytes]:
    """What writes a file of that name. Raises ExperimentError for an ending of no format."""
    if path.suffix.lower() not in FORMATS:
        ending = repr(path.suffix) if path.suffix else "nothing"
        raise ExperimentError(
            f"a picture cannot be written as {path.name!r}: it ends in {ending}; expected one of "
            f"{', '.join(FORMATS)}. Change the ending."
        )
    return FORMATS[path.suffix.lower()]


@typed
def draw(grammar: Grammar, against: Grammar | None = None, rows: Sequence[Row] = ()) -> Drawing:
    """The picture of a grammar: Q on the left, R on the right (docs/pictures.md).

    against: another grammar; what only one of the two has is marked. rows: name and value, for the table on the page.
    Equal grammars make equal files.
    """
    return Drawing(grammar, picture_of(grammar) if against is None else compared(grammar, against), rows)


@typed
def draw_edits(grammar: Grammar) -> Drawing:
    """The grammar against its own Q under the chain rule: what its edits change.

    Raises BlackBoxError where the chain rule would need a gradient of a black box.
    """
    return Drawing(grammar, compared(grammar, ruled(grammar)))
