"""The command `antiphon show`: show a grammar, or how it differs from another, as text or as a picture in a file."""

from pathlib import Path

from antiphon.coordinator.plan.staleness import weaker
from antiphon.experiments.experiment import Experiment
from antiphon.experiments.load import read_experiment
from antiphon.output_file import check_output
from antiphon.pictures.comparison import CHAIN_RULE
from antiphon.pictures.drawing import FORMATS, draw, draw_edits


def shown(experiment: Experiment, out: Path | None = None, against: str | None = None) -> str:
    """Show a grammar, or its differences from another grammar, and return the text to print.

    out: a file for a picture; the text is then its path. If None, the text is the grammar or the differences.
    against: the name of the other grammar, or "chain-rule"; None shows the grammar itself.
    Raises ExperimentError for an unknown name, an unknown file ending, or a path that cannot be written.
    """
    if out is not None:
        check_output(out, FORMATS)
    grammar = experiment.build()
    if out is None and against is None:
        return "\n".join(filter(None, [repr(grammar), weaker(grammar, experiment.staleness)]))
    if against == CHAIN_RULE:
        drawing = draw_edits(grammar)
    else:
        drawing = draw(grammar, None if against is None else read_experiment(against).build())
    if out is not None:
        return f"{drawing.picture.title}: {drawing.save(out)}"
    return "\n".join([drawing.picture.title, *(drawing.differences or ("nothing differs",))])
