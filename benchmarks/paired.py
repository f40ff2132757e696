"""Contestants that are measured in turn, and the ratios of their times with 95 % intervals."""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median
from typing import NamedTuple

import numpy as np
from scipy import stats

Times = Mapping[str, Sequence[float]]
"""The time of each repetition, for each contestant by name."""


class Ratio(NamedTuple):
    """The geometric mean of ratios that are paired by repetition, and its 95 % confidence interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} ({self.low:.2f} - {self.high:.2f})"


def in_turn(contestants: Mapping[str, Callable[[], float]], repetitions: int) -> Times:
    """Measure every contestant once in each repetition. Every second repetition is in the opposite order.

    So a slow change of the machine's speed affects all contestants alike. A contestant is a function that returns its
    time.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for repetition in range(repetitions):
        for name in list(contestants)[:: -1 if repetition % 2 else 1]:
            times[name].append(contestants[name]())
    return times


def seconds_a_round(
    play: Callable[[int], object], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Play `rounds` rounds, and return the seconds of one round, by `clock`."""
    began = clock()
    play(rounds)
    return (clock() - began) / rounds


def paired_ratio(times: Sequence[float], base: Sequence[float]) -> Ratio:
    """Return the mean ratio of `times` to `base`, paired by repetition, with its 95 % confidence interval.

    The interval is Student's for the mean of the ratios' logarithms. Raises ValueError for fewer than two repetitions.

    >>> print(paired_ratio([2.0, 2.2, 1.8], [1.0, 1.0, 1.0]))
    1.99 (1.55 - 2.56)
    """
    if len(times) < 2:
        raise ValueError(
            f"a ratio was asked of {len(times)} repetitions; expected two or more. Repeat the measurement."
        )
    logarithms = np.log(times) - np.log(base)
    low, high = stats.ttest_1samp(logarithms, 0.0).confidence_interval(0.95)
    return Ratio(*np.exp([fmean(logarithms), low, high]).tolist())


def rows_of(times: Times, base: str, scale: float = 1.0) -> list[list[str]]:
    """Return a row per contestant: its name, its median time times `scale`, and the ratio to the contestant `base`."""
    return [
        [name, f"{scale * median(each):.2f}", "1" if name == base else str(paired_ratio(each, times[base]))]
        for name, each in times.items()
    ]
