"""A recording: when each worker played which of its actions, on clocks that can be compared as far as they can."""

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
    """What a worker's time stamps mean.

    source: the clock that was read; two workers with one source read one clock. epoch: nanoseconds to add to a stamp
    for the wall clock's time, as this machine knew it when the batch began.
    """

    source: str
    epoch: int


def clock() -> Clock:
    """This process's performance counter.

    On Linux that is the machine's monotonic clock, which all processes since its last boot share. Elsewhere each
    process counts as having a clock of its own.
    """
    implementation = time.get_clock_info("perf_counter").implementation
    shared = implementation == "clock_gettime(CLOCK_MONOTONIC)" and _BOOT.is_file()
    where = f"boot {_BOOT.read_text().strip()}" if shared else f"process {os.getpid()} of {platform.node()}"
    before, wall, after = time.perf_counter_ns(), time.time_ns(), time.perf_counter_ns()
    return Clock(f"{implementation} of {where}", wall - (before + after) // 2)


@dataclass
class Track:
    """What one worker notes: round, action, beginning and end of each action, four numbers a time, in nanoseconds."""

    clock: Clock
    marks: array = field(default_factory=lambda: array("q"))

    @classmethod
    def begun(cls) -> "Track":
        """An empty one, on this process's clock."""
        return cls(clock())


class Mark(NamedTuple):
    """One action of a worker, by its position in the local program; nanoseconds since the recording began."""

    round: int
    action: int
    begin: int
    end: int


@dataclass(frozen=True)
class Recording:
    """Every worker's marks, on one time axis.

    one_clock: whether all of them read one and the same clock. If not, they were laid side by side by their machines'
    wall clocks, which may be milliseconds apart: lengths are right, and who was first is only as sure as those clocks.
    """

    marks: Mapping[str, tuple[Mark, ...]]
    one_clock: bool

    @classmethod
    def of(cls, tracks: Mapping[str, Track | None]) -> "Recording | None":
        """From what the workers noted; None when they noted nothing."""
        known = {worker: track for worker, track in tracks.items() if track is not None}
        if not known:
            return None
        one_clock = len({track.clock.source for track in known.values()}) == 1
        stamps = {name: _stamped(track, 0 if one_clock else track.clock.epoch) for name, track in known.items()}
        first = min((marks[0].begin for marks in stamps.values() if marks), default=0)
        marks = {
            worker: tuple(Mark(m.round, m.action, m.begin - first, m.end - first) for m in own)
            for worker, own in stamps.items()
        }
        return cls(marks, one_clock)


def _stamped(track: Track, shift: int) -> list[Mark]:
    numbers = track.marks
    quadruples = zip(numbers[::4], numbers[1::4], numbers[2::4], numbers[3::4], strict=True)
    return [Mark(round, action, begin + shift, end + shift) for round, action, begin, end in quadruples]
