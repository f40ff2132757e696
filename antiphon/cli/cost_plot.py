"""Plot how the communication of grammars depends on a setting, with one line for each grammar."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from antiphon.analysis.cost_report import CostReport
from antiphon.grammars.cost import Graph
from antiphon.output_file import unwritable
from antiphon.plugins import missing

try:
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter
except ImportError as error:
    raise missing("plots", "pictures", error) from None

ENDINGS = (".png", ".svg", ".pdf")
_MARKS = "os^vD*XPh<>p"
_DASHES = ("-", "--", "-.", ":")


def plot(path: Path, key: str, values: Sequence[Any], reports: Mapping[str, Sequence[CostReport]]) -> None:
    """Plot messages, bytes and depth of several grammars against the values of a setting, and write the plot to a file.

    path: the file; its ending must be one of `ENDINGS`. key: name of the setting. values: values of the setting,
    on the x axis.
    reports: for each grammar, by name, one cost report per value.
    Lines differ in marker and dashes as well as in colour. Equal input gives equal bytes.
    Raises ExperimentError if the path cannot be written.
    """
    numbers = all(isinstance(value, int | float) for value in values)
    at = list(values) if numbers else list(range(len(values)))
    with matplotlib.rc_context({"svg.hashsalt": "antiphon", "svg.fonttype": "none"}):
        figure = Figure(figsize=(12.5, 4.0), layout="constrained")
        for axes, (title, measure) in zip(figure.subplots(1, 3), _PANELS.items(), strict=True):
            for position, (name, own) in enumerate(reports.items()):
                style = {"marker": _MARKS[position % len(_MARKS)], "linestyle": _DASHES[position % len(_DASHES)]}
                axes.plot(at, [measure(each) for each in own], label=_plain(name), markersize=6, alpha=0.85, **style)
            axes.set_title(title, fontsize=11)
            axes.set_xlabel(_plain(key))
            axes.set_xticks(at, [_plain(str(value)) for value in values])
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(EngFormatter(sep="\N{THIN SPACE}"))
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False)
        try:
            figure.savefig(path, dpi=120, metadata={"Date": None} if path.suffix == ".svg" else None)
        except OSError as error:
            raise unwritable(path, error.strerror or type(error).__name__) from None


def _plain(text: str) -> str:
    """Return a text that Matplotlib draws literally.

    Without this, Matplotlib would read $ as mathematics, and leave labels that begin with _ out of the legend.
    """
    text = text.replace("$", r"\$")
    return f"\N{HAIR SPACE}{text}" if text.startswith("_") else text


def _per_round(total: int, report: CostReport) -> float:
    return total / len(report.rounds)


_PANELS = {
    "messages of R in a round": lambda report: _per_round(report.counted.messages(Graph.RESPONSE), report),
    "bytes in a round, Q and R": lambda report: _per_round(
        report.found.zeroth_bytes + report.found.first_bytes, report
    ),
    "depth of R": lambda report: report.counted.response_depth,
}
