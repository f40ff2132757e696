"""Write a timeline as a trace for Chrome's `about:tracing` and Perfetto (the JSON trace-event format)."""

import json
from typing import Any

from antiphon.analysis.timeline import Timeline, TimeSpan, Trip

_PROCESS = 1
_STEP = 1000.0
"""Microseconds in a trace for each step of a planned timeline: a step is shown as one millisecond."""


def trace(timeline: Timeline) -> str:
    """Return a timeline as a JSON trace: a thread for each worker, a slice for each action, an arrow for each message.

    Times are in microseconds. A planned timeline has steps instead of times: one step is written as one millisecond.
    """
    scale = _STEP if timeline.unit == "step" else 1e3
    threads = {worker: number for number, worker in enumerate(timeline.workers, start=1)}
    events = [_about("process_name", 0, name=timeline.title or "antiphon")]
    for worker, thread in threads.items():
        events += [_about("thread_name", thread, name=worker), _about("thread_sort_index", thread, sort_index=thread)]
    events += [_slice(span, threads[span.worker], scale) for span in timeline.spans]
    for number, trip in enumerate(timeline.trips):
        events += _arrow(number, trip, threads, timeline.unit)
    other = {"unit": "1 step = 1 ms" if timeline.unit == "step" else "ms", "note": timeline.note}
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms", "otherData": other}, indent=1) + "\n"


def _about(kind: str, thread: int, **told: str | int) -> dict[str, Any]:  # Any: JSON
    return {"ph": "M", "name": kind, "pid": _PROCESS, "tid": thread, "args": told}


def _slice(span: TimeSpan, thread: int, scale: float) -> dict[str, Any]:  # Any: JSON
    kind = span.phase.name.lower() if span.work else "message"
    round = {"round": span.round} if span.round >= 0 else {}
    arguments = {"what": span.text, "phase": span.phase.name.lower(), "microbatch": span.microbatch, **round}
    begin = _rounded(span.begin * scale)
    times = {"ts": begin, "dur": _rounded(span.end * scale - begin)}
    name = f"{span.symbol} {span.name}"
    return {"ph": "X", "name": name, "cat": kind, "pid": _PROCESS, "tid": thread, **times, "args": arguments}


def _rounded(microseconds: float) -> float:
    """Round a time in microseconds to nanoseconds, the resolution of the clocks."""
    return round(microseconds, 3)


def _arrow(number: int, trip: Trip, threads: dict[str, int], unit: str) -> list[dict[str, Any]]:  # Any: JSON
    # The viewer binds an arrow to the slices that enclose its ends. A plan has no slice for a send, so there the arrow
    # begins a microsecond before the end of the slice that made the value.
    scale, inside = (_STEP, 1 / _STEP) if unit == "step" else (1e3, 0.0)
    common = {"name": trip.edge.name, "cat": f"{trip.edge.order} order", "id": number, "pid": _PROCESS}
    start = {"ph": "s", "tid": threads[trip.edge.source], "ts": _rounded((trip.departs - inside) * scale)}
    end = {"ph": "f", "bp": "e", "tid": threads[trip.edge.target], "ts": _rounded(trip.arrives * scale)}
    return [{**common, **start}, {**common, **end}]
