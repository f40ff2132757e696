"""The command `antiphon show`: a grammar, or the differences of two, as text or as a picture in a file."""

from collections.abc import Sequence
from pathlib import Path

from antiphon.experiments.load import read_experiment
from antiphon.grammars.grammar import Grammar
from antiphon.pictures.comparison import CHAIN_RULE
from antiphon.pictures.drawing import Drawing, draw, draw_edits, format_of


def shown(name: str, out: Path | None = None, against: str | None = None, changes: Sequence[str] = ()) -> str:
    """The text to print: the path of the written file, or without `out` the grammar or the differences.

    against: the name of another grammar, or "chain-rule". changes: "key=value", for the experiment `name`.
    Raises ExperimentError for an unknown name, an unknown file ending, or a path that cannot be written.
    """
    if out is not None:
        format_of(out)  # raises before the grammar is built
    grammar = read_experiment(name, changes).build()
    if out is None and against is None:
        return f"{grammar!r}"
    drawing = _drawing(grammar, against)
    if out is not None:
        return f"{drawing.picture.title}: {drawing.save(out)}"
    return "\n".join([drawing.picture.title, *(drawing.differences or ("nothing differs",))])


def _drawing(grammar: Grammar, against: str | None) -> Drawing:
    if against == CHAIN_RULE:
        return draw_edits(grammar)
    return draw(grammar, None if against is None else read_experiment(against).build())
