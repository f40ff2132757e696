"""The command `antiphon show GRAMMAR --schedule`: show when each worker does what, as planned or as recorded."""

from pathlib import Path

from antiphon.analysis.chrome_trace import trace
from antiphon.analysis.timeline import Timeline, planned, recorded
from antiphon.columns import aligned
from antiphon.experiments.experiment import Experiment
from antiphon.grammars.playing import steady
from antiphon.output_file import check_output, write
from antiphon.pictures.timeline_svg import picture

_WARMUP = 3
"""Number of rounds to run before a recording begins. The first rounds are slower, because they set things up."""


def schedule_command(experiment: Experiment, *, rounds: int | None = None, out: Path | None = None) -> str:
    """Show the schedule of an experiment (the steps of each worker in a round), and return the text to print.

    rounds: run and record this many rounds, and show the recorded times; None shows the planned steps of one round.
    out: a file; the printed text is then its path. Its ending sets the format: .svg a picture, .json a trace for Chrome
    and Perfetto, .txt text. If None, the printed text is the schedule.
    Raises AntiphonError for a wrong path, before any round is run.
    """
    if out is not None:
        check_output(out, FORMATS)
    table = _plan(experiment) if rounds is None else _recording(experiment, rounds)
    if out is None:
        return text(table)
    write(out, FORMATS[out.suffix.lower()](table))
    return f"schedule: {out}"


def _plan(experiment: Experiment) -> Timeline:
    grammar = experiment.build()
    schedule = experiment.schedule(grammar, experiment.agents(grammar))
    return planned(schedule, f"{grammar.name}: schedule of a round")


def _recording(experiment: Experiment, rounds: int) -> Timeline:
    """Run an experiment: some rounds without recording, then `rounds` recorded rounds. Returns their timeline."""
    grammar = experiment.build()
    agents = experiment.agents(grammar)
    before = steady(grammar, {player: agent.cadence for player, agent in agents.items()}).start + _WARMUP
    with experiment.launch(grammar, agents, experiment.placed(grammar), record=True) as game:
        game.play(before)
        played = game.play(rounds)
    assert played.recording is not None  # asked for above
    over = f"round {before}" if rounds == 1 else f"rounds {before} to {before + rounds - 1}"
    title = f"{grammar.name}: {over}, executor {experiment.executor}"
    return recorded(game.assignment.schedule, played.recording, title)


def text(table: Timeline) -> str:
    """Return a timeline as text.

    A planned timeline becomes a table with one row per worker and one column per step, with dots for idle steps. A
    recorded timeline becomes a table with one row per action.
    """
    if table.unit == "step":
        rows = aligned(
            (worker, _cells(table, worker), f"idle {100 * table.idle(worker):.0f} %") for worker in table.workers
        )
    else:
        spans = ((f"{each.begin:.4f}", f"{each.end:.4f}", each.round, each.worker, each.text) for each in table.spans)
        rows = aligned(spans, ("begin, ms", "end, ms", "round", "worker", "action"))
    return "\n".join([table.title, table.note, rows, ""])


def _cells(table: Timeline, worker: str) -> str:
    """Return the row of a worker in the text of a planned timeline: the symbol of its action in each step.

    The number of the micro-batch follows the symbol if the round has several.
    """
    labels = {span: table.label(span) for span in table.spans}
    width = max((len(label) for label in labels.values()), default=1)
    cells = ["." * width] * int(table.end)
    for span in table.row(worker):
        cells[int(span.begin)] = labels[span].ljust(width)
    return " ".join(cells)


FORMATS = {".svg": picture, ".json": trace, ".txt": text}
"""By file ending: the function that writes a timeline in that format."""
