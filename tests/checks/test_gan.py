"""Grammar 3 under the check: what it promises is kept, and one broken message is noticed."""

from dataclasses import replace

import pytest

from antiphon.checks.check import check_suite
from antiphon.checks.mutants import flipped, silenced, tapped, through, with_operation, wrong_gate
from antiphon.checks.suites.gan import NON_SATURATING, SATURATING, SUITE, gaussians
from antiphon.errors import GrammarError
from antiphon.grammars import Grammar, Port, chain_rule, cut_into, negate_into
from antiphon.grammars.maps import over_batch
from antiphon.grammars.response import PARAMETERS


def edited(grammar: Grammar, edit=()) -> Grammar:
    return replace(grammar, response=chain_rule(grammar.query, grammar.objective, edit=edit))


@pytest.mark.parametrize(
    ("mutant", "players"),
    [
        (edited, {"Forger"}),
        (lambda g: edited(g, negate_into("Curator")), {"Curator"}),
        (lambda g: flipped(g, Port("minus, into Forger")), {"Forger"}),
        (lambda g: silenced(g, Port("minus, into Forger")), {"Forger"}),
        (lambda g: flipped(g, Port("d L")), {"Forger", "Curator"}),
        (lambda g: flipped(g, Port("L *", 0)), {"Curator"}),
        (lambda g: silenced(g, Port("Curator#2 *", PARAMETERS)), {"Curator"}),
        (lambda g: through(g, Port("L *", 0), wrong_gate), {"Curator"}),
        (lambda g: tapped(g, Port("L *", 1), Port("Curator#2")), {"Forger", "Curator"}),
        (lambda g: tapped(g, Port("minus, into Forger"), Port("Forger")), {"Forger"}),
    ],
    ids=[
        "the edit left out", "the edit at the wrong player", "the minus twice", "Forger cut off", "the direction",
        "Curator learns to call the real forged", "Curator hears nothing of what is forged", "a gate", "logits told",
        "what is forged told",
    ],
)  # fmt: skip
def test_a_broken_response_graph_is_named(mutant, players, broken):
    found = broken(mutant(SATURATING(0)))
    assert {each.player for each in found} == players
    assert all(each.operator and repr(each.operator) in each.text for each in found)


@pytest.mark.parametrize(
    "mutant",
    [
        edited,
        lambda g: edited(g, negate_into("Forger")),
        lambda g: with_operation(g, "disbelief", over_batch, factor=-1.0),
        lambda g: flipped(g, Port("disbelief")),
        lambda g: through(g, Port("disbelief"), wrong_gate),
    ],
    ids=["the chain rule", "the saturating response", "the logit as its own slope", "a sign", "a gate"],
)
def test_another_response_than_the_non_saturating_one_is_noticed(mutant, broken):
    found = broken(mutant(NON_SATURATING(0)))
    assert {each.player for each in found} == {"Forger"}


def test_forger_may_not_be_left_to_itself():
    with pytest.raises(GrammarError, match="Forger"):
        edited(SATURATING(0), cut_into("Forger"))


def test_a_curator_that_descends_is_not_at_the_best_one():
    (case,) = (each for each in SUITE.cases if each.make is gaussians)
    rows = check_suite(replace(SUITE, cases=(replace(case, make=descending, instances=1),), studies=()))
    assert {row.guarantee for row in rows if row.failed} == {"exact", "learned"}
    assert {failure.player for row in rows for failure in row.failures} == {"Curator", "Forger"}


def descending(seed: int) -> Grammar:
    grammar = gaussians(seed)
    return flipped(grammar, Port("d L"))
