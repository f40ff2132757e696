"""Who does what when: plans in closed form, recordings on one time axis, pictures, traces."""

import itertools
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from antiphon.analysis.chrome_trace import trace
from antiphon.analysis.timeline import Timeline, planned, recorded
from antiphon.cli.show_schedule import text
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread, together
from antiphon.coordinator.plan.schedule import Schedule
from antiphon.coordinator.plan.step_order import StepOrder
from antiphon.coordinator.recording import Recording, TimedAction
from antiphon.experiments.load import read_experiment
from antiphon.grammars.random_grammars import sample_grammar
from antiphon.pictures.timeline_svg import picture
from rigs.games import convolutional, gpipe, one_forward_one_backward, pipeline, with_dropout

SVG = "{http://www.w3.org/2000/svg}"


def scheduled(grammar, **options) -> Schedule:
    return assign(grammar, placement=spread(grammar), **options).schedule


def record(grammar, rounds: int = 2, **options) -> tuple[Schedule, Recording]:
    assignment = assign(grammar, placement=spread(grammar), record=True, **options)
    with InlineExecutor(assignment) as executor:
        executor.play(1)
        played = executor.play(rounds)
    assert played.recording is not None
    return assignment.schedule, played.recording


def apart(table: Timeline) -> bool:
    """Nobody does two things at once."""
    rows = (table.row(worker) for worker in table.workers)
    return all(one.end <= two.begin for row in rows for one, two in itertools.pairwise(row))


@pytest.mark.parametrize("order", [gpipe, one_forward_one_backward])
@pytest.mark.parametrize(("stages", "batches"), [(1, 1), (2, 3), (4, 8), (3, 2)])
def test_a_pipelines_bubbles_are_those_of_the_closed_form(order, stages, batches):
    """Stages p, micro-batches m, steps of one length: 2 (m + p - 1) steps and a move, of which 2 m + 1 are work."""
    table = planned(pipeline(order(stages, batches)))
    assert table.end == 2 * (batches + stages - 1) + 1
    work = (2 * batches + 1) / table.end
    assert [table.idle(worker) for worker in table.workers] == pytest.approx([1 - work] * stages)
    assert apart(table)


def in_flight(table: Timeline, worker: str) -> int:
    """The most micro-batches that were asked and not yet answered."""
    found, most = 0, 0
    for span in table.row(worker):
        found += {"Q": 1, "R": -1}.get(span.symbol, 0)
        most = max(most, found)
    return most


def test_one_forward_one_backward_holds_fewer_micro_batches():
    assert in_flight(planned(pipeline(gpipe(4, 8))), "S0") == 8
    assert in_flight(planned(pipeline(one_forward_one_backward(4, 8))), "S0") == 4


def test_a_plan_as_text_has_a_row_per_worker_and_a_column_per_step():
    assert text(planned(pipeline(one_forward_one_backward(2, 2)), "two stages")) == (
        "two stages\n"
        "as planned: every step counts as equally long, messages take no time\n"
        "S0  Q0 Q1 .. R0 .. R1 M   idle 29 %\n"
        "S1  .. Q0 R0 Q1 R1 M  ..  idle 29 %\n"
    )


def test_a_round_of_backpropagation_goes_up_and_down():
    table = planned(scheduled(convolutional()))
    assert text(table).splitlines()[2:] == [
        "Nature  Q . . . . . . . . . . .  idle 92 %",
        "Conv    . Q . . . . . . . . R M  idle 75 %",
        "Last    . . Q Q Q . . R R R M .  idle 42 %",
        "Loss    . . . . . Q R . . . . .  idle 83 %",
    ]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("order", list(StepOrder))
def test_in_a_plan_nobody_is_early_and_nobody_does_two_things(seed, order):
    table = planned(scheduled(sample_grammar(seed), order=order))
    assert apart(table)
    assert all(trip.departs <= trip.arrives for trip in table.trips)


def test_of_a_round_only_what_is_due_is_drawn():
    schedule = assign(grammar := read_experiment("dac", ["dac.widths=[4]"]).build(), placement=spread(grammar)).schedule
    assert {span.name for span in planned(schedule, round=8).spans} >= {"Nature.step", "Noise.sample"}
    assert planned(schedule, round=9).spans == ()  # neither acting nor learning
    assert {span.name for span in planned(schedule, round=1001).spans} >= {"BGE", "Actor#2 *"}


@pytest.mark.parametrize("microbatches", [1, 3])
def test_a_recording_has_every_action_of_every_round_once(microbatches):
    schedule, recording = record(with_dropout(), rounds=3, microbatches=microbatches)
    table = recorded(schedule, recording)
    assert recording.one_clock and table.note == "as recorded; all workers read one clock"
    assert apart(table)
    transfers = len(schedule.transfers)
    assert len(table.spans) == 3 * (len(schedule.steps) + transfers)  # a transfer is a send and a receive
    assert len(table.trips) == 3 * transfers
    assert all(trip.departs < trip.arrives for trip in table.trips)
    assert min(span.begin for span in table.spans) == 0


def test_a_recording_changes_no_number_and_without_it_nothing_is_noted():
    grammar = with_dropout()
    losses = []
    for wanted in (False, True):
        with InlineExecutor(assign(grammar, placement=spread(grammar), record=wanted)) as executor:
            played = executor.play(3)
        losses.append(played.losses["Loss"].values)
        assert (played.recording is not None) == wanted
    assert losses[0] == losses[1]


def test_of_several_clocks_it_is_said_what_they_get_wrong():
    schedule, recording = record(convolutional(), rounds=1)
    late = {
        worker: tuple(TimedAction(m.round, m.action, m.begin + 10**9, m.end + 10**9) for m in marks)
        if worker == "Nature"
        else marks
        for worker, marks in recording.marks.items()
    }
    note = recorded(schedule, replace(recording, marks=late, one_clock=False)).note
    assert re.fullmatch(
        r"as recorded; the workers read several clocks, laid side by side by wall time, which may be off: "
        r"some message seems to arrive \d+\.\d{3} ms before it left",
        note,
    )


def boxes(svg: str) -> list[tuple[float, float, float, float]]:
    """Left, top, right and bottom of every cell."""
    found = []
    for shape in ElementTree.fromstring(svg).iter():
        kind = shape.get("class", "")
        if shape.tag == f"{SVG}polygon":
            points = [tuple(map(float, point.split(","))) for point in shape.get("points", "").split()]
            xs, ys = zip(*points, strict=True)
            found.append((min(xs), min(ys), max(xs), max(ys)))
        elif shape.tag == f"{SVG}rect" and kind in ("query", "response", "move"):
            x, y, width, height = (float(shape.get(name, 0)) for name in ("x", "y", "width", "height"))
            found.append((x, y, x + width, y + height))
    return found


def overlap(one, two) -> bool:
    slack = 0.11  # coordinates have one decimal
    return one[0] + slack < two[2] and two[0] + slack < one[2] and one[1] + slack < two[3] and two[1] + slack < one[3]


@pytest.mark.parametrize(
    "make",
    [
        lambda: planned(scheduled(convolutional()), "<conv> & more"),
        lambda: planned(pipeline(gpipe(4, 8))),
        lambda: planned(scheduled(sample_grammar(3))),
    ],
)
def test_no_cell_covers_another_and_all_lie_inside(make):
    table = make()
    svg = picture(table)
    cells = boxes(svg)
    page = ElementTree.fromstring(svg)
    width, height = float(page.get("width", 0)), float(page.get("height", 0))
    assert len(cells) == len(table.spans) + 3  # the legend's
    assert not [(one, two) for one, two in itertools.combinations(cells, 2) if overlap(one, two)]
    assert all(x1 >= 0 and x2 <= width and y1 >= 0 and y2 <= height for x1, y1, x2, y2 in cells)


def test_equal_timetables_give_equal_bytes():
    assert picture(planned(scheduled(convolutional()))) == picture(planned(scheduled(convolutional())))
    assert trace(planned(scheduled(convolutional()))) == trace(planned(scheduled(convolutional())))


def test_orders_are_told_apart_without_colour():
    svg = picture(planned(scheduled(convolutional())))
    assert len(re.findall(r'<path class="trip" ', svg)) == 4 + 1  # one more in the legend
    assert len(re.findall(r'<path class="trip first" ', svg)) == 2 + 1


def test_one_worker_alone_is_never_idle_and_gets_no_message():
    grammar = convolutional()
    table = planned(assign(grammar, placement=together(grammar)).schedule)
    assert table.trips == () and table.idle("inline") == 0
    ElementTree.fromstring(picture(table))


@pytest.mark.parametrize("source", ["plan", "recording"])
def test_a_trace_is_what_viewers_read(source):
    grammar = convolutional()
    table = planned(scheduled(grammar)) if source == "plan" else recorded(*record(grammar))
    told = json.loads(trace(table))
    events = told["traceEvents"]
    slices = [event for event in events if event["ph"] == "X"]
    assert len(slices) == len(table.spans)
    assert all(event["dur"] >= 0 and event["ts"] >= 0 for event in slices)
    names = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert names == {"Nature", "Conv", "Last", "Loss"}
    starts = {event["id"]: event for event in events if event["ph"] == "s"}
    ends = {event["id"]: event for event in events if event["ph"] == "f"}
    assert starts.keys() == ends.keys() and len(starts) == len(table.trips)
    for start in starts.values():  # a viewer binds an arrow to the slice that encloses its beginning
        assert any(
            each["tid"] == start["tid"] and each["ts"] <= start["ts"] <= each["ts"] + each["dur"] for each in slices
        )
