"""Likelihood, checked: its suite keeps what is promised, and no fault in R stays unseen."""

import pytest

from antiphon.checks.check import check_suite
from antiphon.checks.mutants import flipped, silenced, tapped, through, wrong_gate
from antiphon.checks.suites.likelihood import SUITE, sampled
from antiphon.grammars import Grammar, Port
from antiphon.grammars.maps import scale


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    """With a prior."""
    return sampled(1)


def test_the_suite_keeps_its_promises():
    rows = check_suite(SUITE, seed=10, instances=2)
    assert [row.verdict for row in rows] == ["kept"] * 7


def test_an_estimator_who_is_told_to_be_unlikely(grammar, broken):
    (failure,) = broken(flipped(grammar, Port("d Surprise")))
    assert (failure.player, failure.operator) == ("Estimator", "mutated d Surprise")
    assert "what it tells is of the opposite sign" in failure.text


def test_the_prior_forgotten(grammar, broken):
    (failure,) = broken(silenced(grammar, Port("Prior *")))
    assert (failure.player, failure.operator) == ("Estimator", "mutated Prior *")
    assert "what it tells is nothing, where a gradient is expected" in failure.text


def test_a_prior_that_is_not_shared_out(grammar, broken):
    (failure,) = broken(through(grammar, Port("Prior *"), scale, factor=40.0))
    assert "what it tells is 40 times the gradient" in failure.text


def test_a_gate_where_none_belongs(grammar, broken):
    (failure,) = broken(through(grammar, Port("Surprise *"), wrong_gate))
    assert (failure.player, failure.operator) == ("Estimator", "mutated Surprise *")


def test_a_tap_in_place_of_a_product(grammar, broken):
    (failure,) = broken(tapped(grammar, Port("Surprise *"), Port("Estimator")))
    assert (failure.player, failure.operator) == ("Estimator", "mutated Surprise *")
