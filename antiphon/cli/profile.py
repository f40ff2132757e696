"""The option `--profile` of `antiphon run`: write a trace of the last rounds, and show how workers spent their time."""

from pathlib import Path

from antiphon.analysis.chrome_trace import trace
from antiphon.analysis.timeline import recorded
from antiphon.analysis.worker_time import text
from antiphon.coordinator.plan.schedule import Schedule
from antiphon.coordinator.recording import Recording
from antiphon.output_file import write


def profile_text(schedule: Schedule, recording: Recording, out: Path) -> str:
    """Write the trace of recorded rounds to the file `out`, for Perfetto and Chrome.

    Returns a text with a table of how each worker spent its time.
    """
    rounds = [mark.round for marks in recording.marks.values() for mark in marks]
    timeline = recorded(schedule, recording, f"rounds {min(rounds)} to {max(rounds)}")
    write(out, trace(timeline))
    return f"{text(timeline)}\nprofile: {out}; open it at https://ui.perfetto.dev"
