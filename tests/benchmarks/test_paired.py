"""Paired ratios: the interval covers the truth as often as it says, and contestants take turns."""

import numpy as np
import pytest

from benchmarks.paired import in_turn, paired_ratio


@pytest.mark.parametrize("repetitions", [4, 9])
def test_95_percent_intervals_cover_the_true_ratio(repetitions):
    """Times share the machine's drift by repetition, which pairing removes; each has noise of its own."""
    draw, truth, covered, trials = np.random.default_rng(0), 1.3, 0, 1500
    for _ in range(trials):
        drift = np.exp(draw.normal(0, 0.5, repetitions))
        mine, base = (each * drift * np.exp(draw.normal(0, 0.1, repetitions)) for each in (truth, 1.0))
        _, low, high = paired_ratio(mine, base)
        covered += low <= truth <= high
    assert covered / trials == pytest.approx(0.95, abs=0.02)


def test_contestants_take_turns():
    order: list[str] = []
    times = in_turn({name: lambda name=name: order.append(name) or float(len(order)) for name in "abc"}, 3)
    assert "".join(order) == "abccbaabc" and times["a"] == [1.0, 6.0, 7.0]


def test_one_repetition_has_no_interval():
    with pytest.raises(ValueError, match="expected two or more"):
        paired_ratio([1.0], [1.0])
