"""Records when each worker played each action, on one time axis. Different clocks are aligned by wall-clock time."""

import os
import platform
import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Clock:
    """The clock from which a worker takes its time stamps.

    source: identifies the clock; equal sources mean the same clock. epoch: nanoseconds to add to a stamp to get this
    machine's wall-clock time, taken when the batch began.
    """

    source: str
    epoch: int


def clock() -> Clock:
    """Return the clock of this process, which is its performance counter.

    On Linux it is the machine's monotonic clock, which all processes share since the last boot. On other systems each
    process counts as having its own clock.
    """
    implementation = time.get_clock_info("perf_counter").implementation
    shared = implementation == "clock_gettime(CLOCK_MONOTONIC)" and _BOOT.is_file()
    where = f"boot {_BOOT.read_text().strip()}" if shared else f"process {os.getpid()} of {platform.node()}"
    before, wall, after = time.perf_counter_ns(), time.time_ns(), time.perf_counter_ns()
    return Clock(f"{implementation} of {where}", wall - (before + after) // 2)


@dataclass
class Track:
    """The time stamps of one worker. marks: four numbers per action: round, action, begin and end in nanoseconds."""

    clock: Clock
    marks: array = field(default_factory=lambda: array("q"))


class TimedAction(NamedTuple):
    """One action of a worker: its round, its index in the worker's local program, begin and end.

    Times are nanoseconds since the recording began.
    """

    round: int
    action: int
    begin: int
    end: int


@dataclass(frozen=True)
class Recording:
    """The timed actions of every worker, on one time axis.

    one_clock: whether all workers read the same clock. If not, their times were aligned by the machines' wall clocks,
    which may differ by milliseconds: durations are exact, but the order of events on different machines is not.
    """

    marks: Mapping[str, tuple[TimedAction, ...]]
    one_clock: bool

    @classmethod
    def of(cls, tracks: Mapping[str, Track | None]) -> "Recording | None":
        """Build a recording from the tracks of all workers. Return None if no worker has a track."""
        known = {worker: track for worker, track in tracks.items() if track is not None}
        if not known:
            return None
        one_clock = len({track.clock.source for track in known.values()}) == 1
        stamps = {name: _stamped(track, 0 if one_clock else track.clock.epoch) for name, track in known.items()}
        first = min((marks[0].begin for marks in stamps.values() if marks), default=0)
        marks = {
            worker: tuple(TimedAction(m.round, m.action, m.begin - first, m.end - first) for m in own)
            for worker, own in stamps.items()
        }
        return cls(marks, one_clock)


def _stamped(track: Track, shift: int) -> list[TimedAction]:
    numbers = track.marks
    quadruples = zip(numbers[::4], numbers[1::4], numbers[2::4], numbers[3::4], strict=True)
    return [TimedAction(round, action, begin + shift, end + shift) for round, action, begin, end in quadruples]
