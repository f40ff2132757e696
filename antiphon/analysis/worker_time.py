"""Compute how much time of a recorded run each worker spent on computing, waiting, sending and receiving, and idle."""

from collections.abc import Mapping
from typing import NamedTuple

from antiphon.analysis.timeline import Timeline
from antiphon.columns import aligned


class WorkerTime(NamedTuple):
    """How one worker spent the time of a recorded run, in milliseconds. The four numbers add up to the whole time.

    compute: actions other than communication. wait: receives, until the sender begins to send; and all-reduces over
    replicas. transport: the rest of the receives; and sends, also while they wait for a free buffer. idle: between
    actions, for example while another worker of the same process computes.
    """

    compute: float
    wait: float
    transport: float
    idle: float


def worker_times(timeline: Timeline) -> Mapping[str, WorkerTime]:
    """Return how each worker spent the time of a recorded timeline, from its first action to its last one."""
    departures = {(trip.edge.target, trip.arrives): trip.departs for trip in timeline.trips}
    return {worker: _time_of(timeline, worker, departures) for worker in timeline.workers}


def text(timeline: Timeline) -> str:
    """Return, as text, how the workers spent the time of a recorded timeline: a table of percentages.

    Above the table are the title and the duration of a round in milliseconds.
    """
    rounds, whole = len({span.round for span in timeline.spans}), timeline.end
    rows = [(worker, *(f"{part / whole:.1%}" for part in each)) for worker, each in worker_times(timeline).items()]
    table = aligned(rows, ("worker", *WorkerTime._fields), left=1)
    return f"{timeline.title}: {whole / rounds:.3f} ms a round, {timeline.note}\n{table}"


def _time_of(timeline: Timeline, worker: str, departures: Mapping[tuple[str, float], float]) -> WorkerTime:
    compute = wait = transport = 0.0
    for span in timeline.row(worker):
        length = span.end - span.begin
        if span.work:
            compute += length
            continue
        departed = span.end if span.collects else departures.get((worker, span.end), span.begin)
        waited = min(max(departed - span.begin, 0.0), length)
        wait, transport = wait + waited, transport + length - waited
    return WorkerTime(compute, wait, transport, timeline.end - compute - wait - transport)
