"""`antiphon run --profile`: a trace for Perfetto, and a table of compute, wait, transport and idle time."""

import json
from typing import Any

import pytest

from antiphon.analysis.timeline import recorded
from antiphon.analysis.worker_time import WorkerTime, worker_times
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan import steps
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.plan.schedule import project
from antiphon.coordinator.recording import Recording, TimedAction
from rigs.games import with_dropout


def first(schedule, worker: str, kind: type) -> tuple[int, Any]:  # Any: an action of this kind
    """The first action of this kind in a worker's program, and its place."""
    return next(pair for pair in enumerate(project(schedule, worker)) if isinstance(pair[1], kind))


def test_a_receive_waits_until_its_message_leaves():
    """Nature computes for 4 ms, then sends for 1 ms; First asks from the first ms on, and has the value after 6 ms."""
    grammar = with_dropout()
    schedule = assign(grammar, placement=spread(grammar)).schedule
    ask, _ = first(schedule, "Nature", steps.Query)
    (send, sent), (receive, received) = first(schedule, "Nature", steps.Send), first(schedule, "First", steps.Receive)
    assert sent.edge == received.edge
    ms = 1_000_000
    marks = {
        "Nature": (TimedAction(0, ask, 0, 4 * ms), TimedAction(0, send, 4 * ms, 5 * ms)),
        "First": (TimedAction(0, receive, 1 * ms, 6 * ms),),
    }
    times = worker_times(recorded(schedule, Recording(marks, one_clock=True)))
    assert times["Nature"] == pytest.approx(WorkerTime(compute=4, wait=0, transport=1, idle=1))
    assert times["First"] == pytest.approx(WorkerTime(compute=0, wait=3, transport=2, idle=1))
    assert times["Loss"] == pytest.approx(WorkerTime(compute=0, wait=0, transport=0, idle=6))


def test_the_parts_of_every_worker_are_the_whole():
    grammar = with_dropout()
    assignment = assign(grammar, placement=spread(grammar), record=True)
    with InlineExecutor(assignment) as executor:
        recording = executor.play(5).recording
    assert recording is not None
    timeline = recorded(assignment.schedule, recording)
    for each in worker_times(timeline).values():
        assert min(each) >= 0 and sum(each) == pytest.approx(timeline.end)


def test_a_run_writes_its_trace_and_tells_the_times(antiphon, place, tiny_backprop):
    told = antiphon("run", *tiny_backprop, "--profile=trace.json")
    assert told.code == 0 and "rounds 1 to 3" in told.out and "transport" in told.out and "trace.json" in told.out
    events = json.loads((place / "trace.json").read_text())["traceEvents"]
    assert {event["args"]["round"] for event in events if event["ph"] == "X"} == {1, 2, 3}


@pytest.mark.parametrize(
    ("file", "expected"),
    [("none/trace.json", "no folder 'none'"), ("trace.txt", ".json"), ("/proc/trace.json", "folder that exists")],
)
def test_a_trace_that_cannot_be_written_is_refused_before_anything_starts(antiphon, place, file, expected):
    told = antiphon("run", "backprop", f"--profile={file}")
    assert told.code == 2 and repr(file) in told.error and expected in told.error and not list(place.iterdir())
