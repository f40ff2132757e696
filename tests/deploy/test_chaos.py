"""The short form of `make chaos`: random faults, and the numbers of undisturbed runs."""

from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.chaos.__main__ import counted, played
from benchmarks.chaos.faults import CUT, DECK, GCS, GRAMMARS, KINDS, MOMENTS, NODE, RAYLET, STOP, dealt
from benchmarks.chaos.run import why_not_cut

SLOW = {(GCS, STOP), (RAYLET, STOP)}
"""Tested in test_lost_head.py."""


def test_each_kind_of_fault_is_dealt_equally_often_at_each_moment_and_in_each_grammar() -> None:
    faults = dealt(DECK, seed=3)
    assert [fault.number for fault in faults] == list(range(DECK))
    for what, values in (("moment", MOMENTS), ("grammar", GRAMMARS)):
        found = Counter((fault.role, fault.how, getattr(fault, what)) for fault in faults)
        assert found == {(*kind, value): number for kind, number in KINDS.items() for value in values}
    assert dealt(DECK, seed=3) == faults != dealt(DECK, seed=4)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_runs_under_random_faults_end_with_the_numbers_of_undisturbed_runs(tmp_path) -> None:
    reason = why_not_cut()
    one_of_each = {(fault.role, fault.how): fault for fault in dealt(DECK, seed=0)}
    faults = [
        replace(fault, grammar="gan" if fault.role == NODE else "dac")  # few runs, so that Ray is started seldom
        for kind, fault in one_of_each.items()
        if kind not in SLOW and not (fault.how == CUT and reason)
    ]
    tally = played(faults, tmp_path)
    assert not tally.wrong
    assert sorted(entry["number"] for entry in tally.struck) == sorted(fault.number for fault in faults)
    assert all(entry["proof"] for entry in tally.struck)
    assert {entry["outcome"] for entry in tally.struck} == {"recovered", "resumed", "went on"}
    print(reason, counted(tally), sep="\n")
