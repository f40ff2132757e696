"""Draw the picture of a grammar, to show it in a notebook or to save it. The file ending chooses the format."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.typed import typed
from antiphon.output_file import check_output, write
from antiphon.pictures.comparison import compared, differences
from antiphon.pictures.counts import Row
from antiphon.pictures.dot import dot_of
from antiphon.pictures.mermaid import mermaid_of
from antiphon.pictures.of_grammar import picture_of, ruled
from antiphon.pictures.picture import Picture


@dataclass(frozen=True)
class Drawing:
    """A picture of a grammar that can be shown in a notebook or saved.

    rows: the rows of the table on the HTML page. If empty, the table shows the communication cost of the grammar.
    """

    grammar: Grammar
    picture: Picture
    rows: Sequence[Row] = ()

    @property
    def svg(self) -> str:
        """The picture as SVG text."""
        from antiphon.pictures.svg import svg_of  # here: text needs no fonts and no layout

        return svg_of(self.picture)

    @property
    def png(self) -> bytes:
        """The picture as PNG bytes."""
        from antiphon.pictures.png import png_of

        return png_of(self.picture)

    @property
    def html(self) -> str:
        """The picture as an HTML page that shows a round step by step."""
        from antiphon.pictures.page import page_of

        return page_of(self.grammar, self.picture, self.rows)

    @property
    def mermaid(self) -> str:
        """The picture as a Mermaid flowchart."""
        return mermaid_of(self.picture)

    @property
    def markdown(self) -> str:
        """The picture as a Mermaid flowchart in a fenced block of Markdown."""
        return f"```mermaid\n{self.mermaid}```\n"

    @property
    def dot(self) -> str:
        """The picture as text in the DOT language of Graphviz."""
        return dot_of(self.picture)

    @property
    def differences(self) -> tuple[str, ...]:
        """One line of text for each drawn node and arrow that differs between two compared grammars.

        Empty if the drawing shows only one grammar.
        """
        return tuple(differences(self.picture))

    @typed
    def save(self, path: str | Path) -> Path:
        """Write the picture to a file, and return its path.

        The ending chooses the format: .svg, .png, .html, .mmd or .md (Mermaid), .dot or .gv (Graphviz).
        Raises ExperimentError for another ending, or if the path cannot be written.
        """
        path = Path(path)
        check_output(path, FORMATS)
        write(path, FORMATS[path.suffix.lower()](self))
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
"""By file ending: the function that returns the content of the file for a drawing."""


@typed
def draw(grammar: Grammar, against: Grammar | None = None, rows: Sequence[Row] = ()) -> Drawing:
    """Draw a grammar: its Query graph (Q) on the left, its Response graph (R) on the right (docs/pictures.md).

    against: another grammar; if given, the differences from it are shown. rows: (name, value) for the table of the HTML
    page; if empty, the table shows the communication cost.
    Equal grammars give equal files.
    """
    picture = picture_of(grammar)
    return Drawing(grammar, picture if against is None else compared(picture, picture_of(against)), rows)


@typed
def draw_edits(grammar: Grammar) -> Drawing:
    """Draw a grammar, and show where its Response graph differs from the chain rule on the same Query graph.

    Raises BlackBoxError if the chain rule needs a gradient of a black box.
    """
    return Drawing(grammar, compared(picture_of(grammar), ruled(grammar)))
