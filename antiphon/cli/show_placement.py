"""The command `antiphon show GRAMMAR --placement NAME`: a placement as text, or as a picture in a file."""

from collections.abc import Sequence
from pathlib import Path

from antiphon.analysis.placement_summary import placement_summary, text
from antiphon.cli.output_file import check_output, unwritable
from antiphon.experiments.load import read_experiment
from antiphon.pictures.placement_sheet import svg_of
from antiphon.pictures.png import rasterized

ENDINGS = (".svg", ".png", ".txt")


def placement_command(name: str, changes: Sequence[str], placement: str, out: Path | None) -> str:
    """Draw a placement. Returns the text to print: the placement, or the path of the written file.

    placement: "own" (the experiment's), "spread", "together", or a TOML file.
    Raises AntiphonError for a wrong experiment, placement or path.
    """
    if out is not None:
        check_output(out, ENDINGS)
    seen = placement_summary(read_experiment(name, changes, placement))
    if out is None:
        return text(seen)
    made = text(seen) if out.suffix == ".txt" else svg_of(seen)
    try:
        out.write_bytes(rasterized(made) if out.suffix == ".png" else made.encode())
    except OSError as error:
        raise unwritable(out, error.strerror or type(error).__name__) from None
    return f"{seen.title}: {out}"
