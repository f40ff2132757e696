"""The check of bounded staleness measures ages and gradients, and finds rounds that use other parameters."""

import pytest
from torch.autograd.grad_mode import _unsafe_preserve_version_counter

from antiphon.agents.past_parameters import PastParameters
from antiphon.analysis.check import parsed_staleness
from antiphon.checks.check import check_grammar
from antiphon.checks.staleness import AGES, GRADIENTS
from antiphon.checks.suites.dac import SUITE
from antiphon.coordinator.past import Past
from antiphon.errors import ExperimentError, RoundError
from antiphon.grammars import Grammar
from antiphon.grammars.random_grammars import sample_grammar


def verdicts(grammar: Grammar, staleness) -> dict[tuple[str, float], str]:
    rows = check_grammar(grammar, instances=1, staleness=staleness).rows
    return {(row.guarantee, row.measured): row.verdict for row in rows if row.verdict != "not measured"}


@pytest.mark.parametrize("age", [1, 2])
def test_the_measured_age_is_that_of_the_schedule(age):
    found = verdicts(sample_grammar(3), age)
    assert found[AGES, age] == "kept" and len(found) == 2 and set(found.values()) == {"kept"}


def test_acting_alone_may_be_stale():
    found = verdicts(SUITE.cases[0].make(0), {"act": 2})
    assert {age for what, age in found if what == AGES} == {0, 2} and set(found.values()) == {"kept"}


as_it_was = PastParameters.keep


def quietly(self, rounds):
    """Keep parameters without a trace: torch itself refuses a response whose parameters were written to."""
    with _unsafe_preserve_version_counter(tuple(each for m in self._modules for each in m.parameters())):
        for round in rounds:
            as_it_was(self, round)


@pytest.mark.parametrize(
    ("keep", "what"),
    [
        (lambda self, round: quietly(self, [round - 1]), AGES),
        (lambda self, round: None, AGES),
        (lambda self, round: quietly(self, range(3)), GRADIENTS),
    ],
)
def test_other_parameters_than_those_of_the_schedule_are_found(monkeypatch, keep, what):
    """Newer parameters; the first ones for ever; and parameters that change between a query and its response."""
    monkeypatch.setattr(PastParameters, "keep", keep)
    rows = check_grammar(sample_grammar(3), instances=1, staleness=2).rows
    assert what in {row.guarantee for row in rows if row.failed}, rows


def test_torch_refuses_a_response_whose_parameters_have_changed(monkeypatch):
    monkeypatch.setattr(PastParameters, "keep", lambda self, round: [as_it_was(self, each) for each in range(3)])
    with pytest.raises(RoundError, match="inplace"):
        check_grammar(sample_grammar(3), instances=1, staleness=2)


def test_a_response_at_the_newest_parameters_is_found(monkeypatch):
    """Without weight stashing, the gradient is that of other parameters than the query's (PipeDream, section 3.3)."""
    monkeypatch.setattr(Past, "learned", lambda self, node, round: ())
    rows = check_grammar(sample_grammar(3), instances=1, staleness=1).rows
    assert GRADIENTS in {row.guarantee for row in rows if row.failed}, rows


@pytest.mark.parametrize("text", ["", "x", "-1", "1,2", "act", "act=", "=1", "act=x"])
def test_a_staleness_that_is_none_is_refused(text):
    with pytest.raises(ExperimentError, match="--staleness act=1"):
        parsed_staleness(text)
