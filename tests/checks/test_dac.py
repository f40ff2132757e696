"""DAC's suites and those of its relatives: each fault in R is noticed, and blamed on somebody who hears it."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from antiphon.checks.check import check_grammar
from antiphon.checks.mutants import flipped, tapped
from antiphon.checks.suites import critic_derivative, dac, dac_bandit
from antiphon.grammars import Grammar, Port, Value, chain_rule, cut_into, minimise
from antiphon.grammars.chain_rule import Answer

MU = Port("Actor#2")


def failing(report) -> set[str]:
    return {failure.player for row in report.rows for failure in row.failures}


def told(report) -> dict[str, str]:
    """By promise and players, what is said of the first failure, without its figures."""
    return {
        f"{row.guarantee}: {row.failures[0].player}": f"{row.failures[0].operator}; {row.failures[0].detail}"
        for row in report.rows
        if row.failures
    }


def value(grammar: Grammar, port: Port) -> Value:
    return Value(port, grammar.query.type_of(port))


def with_response(grammar: Grammar, answer: Answer | None, *edits) -> Grammar:
    """The grammar with the chain rule, these edits, and this answer about mu(s)."""
    answers = {value(grammar, MU): answer} if answer else {}
    return replace(grammar, response=chain_rule(grammar.query, grammar.objective, edits, answers))


def minus_each(message: Tensor) -> Tensor:
    """-1 / batch for each example: the seed of minus a mean."""
    return torch.full_like(message, -1.0 / len(message))


@pytest.mark.parametrize("suite", [dac, dac_bandit])
def test_faults_are_noticed_by_the_closed_form_alone(suite):
    (known,) = (case.make(0) for case in suite.SUITE.cases if case.name.endswith("slope known"))
    mutant = flipped(known, Port("ascend G"))
    assert failing(check_grammar(mutant, instances=1)) == {"Actor"}


def test_a_flipped_sign_of_the_slope_is_named():
    report = check_grammar(flipped(dac.networks(1), Port("ascend G")), instances=2)
    (text,) = told(report).values()
    assert text.startswith("mutated ascend G; ")
    assert text.endswith("is of the opposite sign")


def test_an_error_that_leaks_into_actor_is_named():
    grammar = dac.networks(1)

    def ascend(r):
        return r.map(minus_slope, r.tap(value(grammar, Port("Deviator"))), name="ascend G")

    assert not check_grammar(with_response(grammar, ascend, cut_into("Actor")), instances=2).failed
    found = told(check_grammar(with_response(grammar, ascend), instances=2))
    assert found.keys() == {"exact: Actor", "insulated from BGE, Critic: Actor"}
    assert found["insulated from BGE, Critic: Actor"] == "d BGE; the response depends on 'd BGE'"


def minus_slope(message: Tensor) -> Tensor:
    """-G / batch."""
    return -message / len(message)


def test_the_chain_rule_without_dacs_edits_is_named():
    found = told(check_grammar(with_response(dac.networks(1), None), instances=2))
    assert found.keys() == {"exact: Actor", "insulated from BGE, Critic: Actor"}


def test_a_tap_of_the_wrong_value_is_named():
    report = check_grammar(tapped(dac.networks(1), Port("ascend G"), Port("deviation"), -1.0), instances=2)
    assert failing(report) == {"Actor"}
    assert told(report)["exact: Actor"].startswith("mutated ascend G; ")


def test_a_product_of_critic_in_place_of_the_tap_is_named():
    grammar = dac.networks(1)

    def derivative(r):
        return r.product("Critic", r.map(minus_each, r.tap(value(grammar, Port("Critic"))))).toward(1)

    found = told(check_grammar(with_response(grammar, derivative, cut_into("Actor")), instances=2))
    assert found.keys() == {"exact: Actor", "insulated from BGE, Critic: Actor"}
    assert found["insulated from BGE, Critic: Actor"] == "tap Critic; the response depends on 'tap Critic'"


def test_a_critic_who_is_told_to_flatter_is_named():
    """What Actor climbs, told to Critic as well: it would raise its own Q."""
    grammar = critic_derivative.networks(1)
    both = minimise(*(value(grammar, port) for port in (*grammar.objective.losses, Port("Worth"))))
    mutant = replace(grammar, response=chain_rule(grammar.query, both))
    found = told(check_grammar(mutant, instances=2))
    assert {"exact: Critic", "insulated from Worth, Actor: Critic"} < found.keys()
