"""The promise `Aligns`: the angle after learning counts, and not the angle at the start."""

from dataclasses import replace

import pytest

from antiphon.checks.instance import Instance
from antiphon.checks.measure import measure
from antiphon.checks.measured import Measured
from antiphon.checks.suite import Learning, descent
from antiphon.checks.suites.backprop import dense
from antiphon.checks.suites.feedback_alignment import SUITE
from antiphon.grammars import Aligns, Grammar, Upstream, chain_rule, negate_into
from antiphon.grammars.maps import scale
from antiphon.grammars.writing import Message


def measured(grammar: Grammar, rounds: int = 20, degrees: float = 90.0) -> dict[str, Measured]:
    instance = Instance(grammar, 0, Learning(rounds, descent(0.05)))
    return {each.player: each for each in measure(Aligns(degrees=degrees), instance)}


def test_the_gradient_itself_is_aligned():
    found = measured(dense(1))
    assert all(each.kept and not each.skipped and each.value < 1e-3 for each in found.values())


def test_a_response_against_the_gradient_is_named():
    plain = dense(1)
    against = replace(plain, response=chain_rule(plain.query, plain.objective, negate_into("Dense1")))
    found = measured(against)
    assert {name for name, each in found.items() if not each.kept} == {"Dense1"}
    assert found["Dense1"].value == pytest.approx(180.0)


def test_no_response_is_no_alignment():
    plain = dense(1)
    silent = replace(plain, response=chain_rule(plain.query, plain.objective, silenced))
    found = measured(silent)
    assert not found["Dense1"].kept and found["Output"].kept


def silenced(upstream: Upstream) -> Message:
    factor = 0.0 if upstream.enters("Dense1") else 1.0
    return upstream.response.map(scale, upstream.message, factor=factor)


def test_feedback_aligns_only_by_learning():
    """Before learning, no matrix of the feedback has anything to do with the weights."""
    case = next(each for each in SUITE.cases if each.name == "learning")
    found = []
    for rounds in (1, case.learning.rounds):
        learning = replace(case.learning, rounds=rounds)
        instances = (Instance(case.make(seed), seed, learning) for seed in range(3))
        found.append([measure(Aligns(("Dense1",), degrees=70.0), each)[0].kept for each in instances])
    assert found == [[False] * 3, [True] * 3]
