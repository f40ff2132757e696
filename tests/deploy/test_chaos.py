"""The short form of `make chaos`: random faults, and the numbers of undisturbed runs."""

from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.chaos.__main__ import counted, played
from benchmarks.chaos.faults import (
    COORDINATOR,
    CUT,
    DECK,
    DRIVER,
    GRAMMARS,
    KILL,
    KINDS,
    LOSS,
    MOMENTS,
    NODE,
    ORACLE,
    PLAYER,
    STOP,
    dealt,
)
from benchmarks.chaos.run import why_not_cut

STRUCK = [(PLAYER, KILL), (ORACLE, STOP), (LOSS, KILL), (COORDINATOR, STOP)]
STRUCK += [(DRIVER, STOP), (DRIVER, KILL), (NODE, KILL), (NODE, CUT)]
"""Other ends of driver, control store and raylet are in test_lost_head.py."""
UNLIKE = {(DRIVER, STOP): "went on", (DRIVER, KILL): "resumed"}


def test_each_kind_of_fault_is_dealt_equally_often_at_each_moment_and_in_each_grammar() -> None:
    faults = dealt(DECK, seed=3)
    assert [fault.number for fault in faults] == list(range(DECK))
    for what, values in (("moment", MOMENTS), ("grammar", GRAMMARS)):
        found = Counter((fault.role, fault.how, getattr(fault, what)) for fault in faults)
        assert found == {(*kind, value): number for kind, number in KINDS.items() for value in values}
    assert dealt(DECK, seed=3) == faults != dealt(DECK, seed=4)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_runs_under_random_faults_end_with_the_numbers_of_undisturbed_runs(tmp_path) -> None:
    reason = why_not_cut()
    possible = [kind for kind in STRUCK if not (reason and CUT in kind)]
    moments = {kind: MOMENTS[number % len(MOMENTS)] for number, kind in enumerate(possible)}
    found = {
        kind: fault for fault in dealt(DECK, seed=0) if moments.get(kind := (fault.role, fault.how)) == fault.moment
    }
    # Two runs, so that Ray is started seldom.
    faults = [replace(fault, grammar="gan" if fault.role == NODE else "dac") for fault in found.values()]
    tally = played(faults, tmp_path)
    print(reason, counted(tally), sep="\n")
    assert not tally.wrong
    assert {entry["number"]: entry["moment"] for entry in tally.struck} == {each.number: each.moment for each in faults}
    assert all(entry["proof"] for entry in tally.struck) and len(faults) == len(moments)
    outcomes = {(entry["role"], entry["how"]): entry["outcome"] for entry in tally.struck}
    assert outcomes == {kind: UNLIKE.get(kind, "recovered") for kind in moments}
