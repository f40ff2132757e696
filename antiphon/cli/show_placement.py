"""The command `antiphon show GRAMMAR --placement NAME`: show a placement as text, or as a picture in a file."""

from pathlib import Path

from antiphon.analysis.placement_summary import PlacementSummary, placement_summary, text
from antiphon.experiments.experiment import Experiment
from antiphon.output_file import check_output, write

ENDINGS = (".svg", ".png", ".txt")


def placement_command(experiment: Experiment, out: Path | None) -> str:
    """Show the placement of an experiment (which worker holds which players), and return the text to print.

    out: a file for a picture or text; the printed text is then its path. If None, the printed text is the placement.
    Raises AntiphonError for a wrong placement or path.
    """
    if out is not None:
        check_output(out, ENDINGS)
    seen = placement_summary(experiment)
    if out is None:
        return text(seen)
    write(out, _drawn(seen, out.suffix.lower()))
    return f"{seen.title}: {out}"


def _drawn(seen: PlacementSummary, ending: str) -> str | bytes:
    if ending == ".txt":
        return text(seen)
    from antiphon.pictures.of_placement import picture_of_placement  # here: text needs no fonts and no layout
    from antiphon.pictures.png import png_of
    from antiphon.pictures.svg import svg_of

    return {".svg": svg_of, ".png": png_of}[ending](picture_of_placement(seen))
