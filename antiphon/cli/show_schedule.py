"""The command `antiphon show GRAMMAR --schedule`: a planned or recorded schedule, in three formats."""

from pathlib import Path

from antiphon.analysis.chrome_trace import trace
from antiphon.analysis.timeline import Timeline, planned, recorded
from antiphon.columns import aligned
from antiphon.experiments.experiment import Experiment
from antiphon.grammars.playing import steady
from antiphon.output_file import check_output, write
from antiphon.pictures.timeline_svg import picture

_WARMUP = 3
"""Number of rounds to play before a recording begins. The first rounds are slower, because they set things up."""


def schedule_command(experiment: Experiment, *, rounds: int | None = None, out: Path | None = None) -> str:
    """Draw the schedule of an experiment. Returns the text to print: the schedule, or the path of the written file.

    rounds: play and record this many; None shows the plan.
    out: its ending sets the format: .svg is a picture, .json a trace for Chrome and Perfetto, .txt the text that is
    otherwise printed. Raises AntiphonError for a wrong path, before any round is played.
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
    """Play some rounds without recording, then record `rounds` rounds and return their timeline."""
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

    A plan has one row per worker and one column per step; dots are idle steps. A recording has one row per action.
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
    """Return the symbol of a worker's action in each step, with the micro-batch if the round has several."""
    labels = {span: table.label(span) for span in table.spans}
    width = max((len(label) for label in labels.values()), default=1)
    cells = ["." * width] * int(table.end)
    for span in table.row(worker):
        cells[int(span.begin)] = labels[span].ljust(width)
    return " ".join(cells)


FORMATS = {".svg": picture, ".json": trace, ".txt": text}
"""The function that makes the content of a file from a timeline, by the ending of the file."""
