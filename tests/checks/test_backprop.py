"""Backpropagation's suite: all is kept; each single fault in R is noticed, and blamed on somebody who hears it."""

from antiphon.checks.check import check_grammar
from antiphon.checks.mutants import flipped, silenced, tapped
from antiphon.checks.suites.backprop import dense
from antiphon.grammars import Port
from antiphon.grammars.response import PARAMETERS


def failing(report) -> set[str]:
    return {failure.player for row in report.rows for failure in row.failures}


def told(report) -> list[str]:
    return [failure.text.split(": ", 1)[1].split(" (worst")[0] for row in report.rows for failure in row.failures]


def test_a_flipped_sign_is_named():
    report = check_grammar(flipped(dense(1), Port("Output *")), instances=2)
    assert failing(report) == {"Dense1"}
    (row,) = report.rows
    assert row.failures[0].operator == "mutated Output *"
    assert row.failures[0].detail == "the input of 'mutated Output *' is right, and its output is of the opposite sign"


def test_a_cut_edge_is_named():
    report = check_grammar(silenced(dense(1), Port("Output *", PARAMETERS)), instances=2)
    assert failing(report) == {"Output"}
    assert "its output is zero, where a gradient is expected" in told(report)[0]


def test_a_tap_in_place_of_a_product_is_named():
    report = check_grammar(tapped(dense(1), Port("Output *"), Port("Dense1")), instances=2)
    assert failing(report) == {"Dense1"}
    assert "another direction than the gradient" in told(report)[0]
