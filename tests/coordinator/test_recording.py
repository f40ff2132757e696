"""Clocks: what is laid on one axis, and when it may be."""

from array import array

from antiphon.coordinator.recording import Clock, Recording, TimedAction, Track, clock

HOUR = 3600 * 10**9


def track(source: str, epoch: int, *marks: int) -> Track:
    return Track(Clock(source, epoch), array("q", marks))


def test_stamps_of_one_clock_are_taken_as_they_are():
    one, two = track("boot 1", 7, 0, 0, 100, 110, 1, 0, 200, 210), track("boot 1", HOUR, 0, 0, 105, 120)
    recording = Recording.of({"A": one, "B": two})
    assert recording == Recording(
        {"A": (TimedAction(0, 0, 0, 10), TimedAction(1, 0, 100, 110)), "B": (TimedAction(0, 0, 5, 20),)}, True
    )


def test_stamps_of_several_clocks_are_laid_side_by_side_by_wall_time():
    one, two = track("boot 1", 1000, 0, 0, 100, 110), track("boot 2", 0, 0, 0, 1105, 1120)
    recording = Recording.of({"A": one, "B": two})
    assert recording == Recording({"A": (TimedAction(0, 0, 0, 10),), "B": (TimedAction(0, 0, 5, 20),)}, False)


def test_workers_that_noted_nothing_make_no_recording():
    assert Recording.of({"A": None, "B": None}) is None


def test_this_process_has_one_clock():
    first, second = clock(), clock()
    assert first.source == second.source
    assert abs(first.epoch - second.epoch) < HOUR
