"""The short form of `make chaos`: random faults, and the numbers of an undisturbed run."""

import pytest

from benchmarks.chaos.__main__ import played
from benchmarks.chaos.faults import MOMENTS, drawn


@pytest.mark.slow
def test_runs_under_random_faults_end_with_the_numbers_of_undisturbed_runs(tmp_path) -> None:
    faults = drawn(10, seed=0)
    tally = played(faults, tmp_path, rounds=2000)
    assert not tally.wrong
    assert [entry["fault"] for entry in tally.struck] == [fault.number for fault in faults]
    assert {entry["moment"] for entry in tally.struck} == set(MOMENTS)
    assert all(entry["proof"] for entry in tally.struck) and len(tally.recoveries) >= 5
