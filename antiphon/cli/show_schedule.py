"""The command `antiphon show GRAMMAR --schedule`: a planned or recorded schedule, in three formats."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from antiphon.analysis.chrome_trace import trace
from antiphon.analysis.timeline import Timeline, planned, recorded
from antiphon.cli.output_file import check_output, write
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.compile import StepOrder
from antiphon.errors import ExperimentError
from antiphon.experiments.experiment import Experiment
from antiphon.experiments.load import parse_change, read_experiment
from antiphon.grammars.playing import steady
from antiphon.pictures.timeline_svg import picture

ENDINGS = (".svg", ".json", ".txt")
_WARMUP = 3
"""Rounds to play before a recording begins: the first rounds are slower, because they set things up."""


@dataclass(frozen=True)
class ScheduleOptions:
    """The options of `antiphon show --schedule`. rounds: play and record this many; None shows the plan.
    order: of the plan, "plain" or "split"; None takes the default."""

    rounds: int | None = None
    executor: str | None = None
    placement: str | None = None
    order: str | None = None
    out: Path | None = None


def schedule_command(name: str, changes: Sequence[str], view: ScheduleOptions) -> str:
    """Draw the schedule of a grammar. Returns the text to print: the schedule, or the path of the written file.

    The ending of `view.out` sets the format: .svg is a picture, .json a trace for Chrome and Perfetto, .txt the text
    that is otherwise printed. Raises AntiphonError for a wrong placement, order or path, before any round is played.
    """
    if view.out is not None:
        check_output(view.out, ENDINGS)
    if view.order is not None and view.order not in tuple(StepOrder):
        raise ExperimentError(f"order {view.order!r} is not known; expected 'plain' or 'split'. Name one of these.")
    if view.order is not None and view.rounds is not None:
        raise ExperimentError("--order is for plans, and --rounds records a run. Leave one of the two out.")
    given = {"executor": view.executor} if view.executor is not None else {}
    table = timeline(read_experiment(name, {**dict(map(parse_change, changes)), **given}, view.placement), view)
    if view.out is None:
        return text(table)
    formats = {".svg": picture, ".json": trace, ".txt": text}
    write(view.out, formats[view.out.suffix](table))
    return f"schedule: {view.out}"


def timeline(experiment: Experiment, view: ScheduleOptions) -> Timeline:
    """The timeline of the plan, or of rounds that are played and recorded now (`view.rounds`)."""
    grammar = experiment.build()
    agents = experiment.agents(grammar)
    placement = experiment.placed(grammar)
    if view.rounds is None:
        order = StepOrder(view.order) if view.order is not None else None
        schedule = assign(grammar, agents, placement=placement, order=order).schedule
        return planned(schedule, f"{grammar.name}: schedule of a round")
    before = steady(grammar, {player: agent.cadence for player, agent in agents.items()}).start + _WARMUP
    with experiment.launch(grammar, agents, placement, record=True) as game:
        game.play(before)
        played = game.play(view.rounds)
        schedule = game.assignment.schedule
    assert played.recording is not None  # asked for above
    last = before + view.rounds - 1
    over = f"round {before}" if view.rounds == 1 else f"rounds {before} to {last}"
    return recorded(schedule, played.recording, f"{grammar.name}: {over}, executor {experiment.executor}")


def text(table: Timeline) -> str:
    """A plan as one row per worker and one column per step (dots are idle); a recording as one line per action."""
    if table.unit != "step":
        lines = [
            f"{span.begin:10.4f} to {span.end:10.4f} ms  {span.worker}: {span.text}, round {span.round}"
            for span in table.spans
        ]
        return "\n".join([table.title, table.note, *lines]) + "\n"
    labels = {span: table.label(span) for span in table.spans}
    width = max((len(label) for label in labels.values()), default=1)
    margin = max(map(len, table.workers), default=0)
    lines = []
    for worker in table.workers:
        cells = ["." * width] * int(table.end)
        for span in table.row(worker):
            cells[int(span.begin)] = labels[span].ljust(width)
        lines.append(f"{worker:{margin}}  {' '.join(cells)}  idle {100 * table.idle(worker):.0f} %")
    return "\n".join([table.title, table.note, *lines]) + "\n"
