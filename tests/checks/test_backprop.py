"""Backpropagation's suite: all is kept; each single fault in R is noticed, and blamed on somebody who hears it."""

import pytest

from antiphon.analysis.check import check
from antiphon.checks.check import check_grammar
from antiphon.checks.mutants import flipped, hearers, silenced, single_faults, tapped
from antiphon.checks.suites.backprop import convolutional, dense
from antiphon.grammars.query import Port
from antiphon.grammars.response import PARAMETERS


def failing(report) -> set[str]:
    return {failure.player for row in report.rows for failure in row.failures}


def told(report) -> list[str]:
    return [failure.text.split(": ", 1)[1].split(" (worst")[0] for row in report.rows for failure in row.failures]


@pytest.mark.slow
def test_the_suite_is_kept():
    report = check("backprop")
    assert not report.failed
    assert {row.guarantee for row in report.rows} == {
        "exact",
        "comes to rest",
        "network, layer and unit players hear the same",
    }


@pytest.mark.parametrize("make", [dense, convolutional])
def test_each_single_fault_is_noticed(make):
    for message, mutant in single_faults(make(0)):
        assert failing(check_grammar(mutant, instances=1)) == hearers(mutant, message), message


def test_a_flipped_sign_is_named():
    report = check_grammar(flipped(dense(1), Port("Output *")), instances=2)
    assert failing(report) == {"Dense1"}
    (row,) = report.rows
    assert row.failures[0].operator == "mutated Output *"
    assert (
        row.failures[0].detail
        == "what arrives at 'mutated Output *' is right, and what it tells is of the opposite sign"
    )


def test_a_cut_edge_is_named():
    report = check_grammar(silenced(dense(1), Port("Output *", PARAMETERS)), instances=2)
    assert failing(report) == {"Output"}
    assert "what it tells is nothing, where a gradient is expected" in told(report)[0]


def test_a_tap_in_place_of_a_product_is_named():
    report = check_grammar(tapped(dense(1), Port("Output *"), Port("Dense1")), instances=2)
    assert failing(report) == {"Dense1"}
    assert "another direction than the gradient" in told(report)[0]
