"""The command `antiphon show GRAMMAR --placement NAME`: a placement as text, or as a picture in a file."""

from collections.abc import Sequence
from pathlib import Path

from antiphon.analysis.placement_summary import PlacementSummary, placement_summary, text
from antiphon.cli.output_file import check_output, unwritable
from antiphon.experiments.load import read_experiment

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
    made = _drawn(seen, out.suffix)
    try:
        out.write_bytes(made)
    except OSError as error:
        raise unwritable(out, error.strerror or type(error).__name__) from None
    return f"{seen.title}: {out}"


def _drawn(seen: PlacementSummary, ending: str) -> bytes:
    if ending == ".txt":
        return text(seen).encode()
    from antiphon.pictures.placement_sheet import svg_of  # here: text needs no fonts and no layout
    from antiphon.pictures.png import rasterized

    made = svg_of(seen)
    return rasterized(made) if ending == ".png" else made.encode()
