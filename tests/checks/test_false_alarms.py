"""A checker that cries wolf is not asked twice: 500 seeds of every suite, shared among its families, and no alarm."""

from dataclasses import replace

import pytest

from antiphon.analysis.check import suite_of
from antiphon.checks.check import check_suite
from antiphon.checks.suite import Case, Suite
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import Descent, Exact, Guarantee, Insulated, SignCorrect
from antiphon.recipes import LIBRARY

SEEDS = 500
ONE_ROUND = (Exact, SignCorrect, Descent, Insulated)
"""What is measured on a single round. Promises on means and on learning are statistical: each names its own margin."""


def of_one_round(case: Case) -> Case | None:
    promises = case.make(0).guarantee.promises
    if not any(isinstance(promise, ONE_ROUND) for promise in promises):
        return None

    def make(seed: int) -> Grammar:
        grammar = case.make(seed)
        kept = tuple(each for each in grammar.guarantee.promises if isinstance(each, ONE_ROUND))
        return replace(grammar, guarantee=Guarantee(kept))

    return Case(case.name, make)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", LIBRARY)
def test_no_false_alarm_on_500_seeds(name):
    cases = [each for case in suite_of(name).cases if (each := of_one_round(case)) is not None]
    for index, case in enumerate(cases):
        first, last = (SEEDS * place // len(cases) for place in (index, index + 1))
        rows = check_suite(Suite(name, (replace(case, instances=last - first),)), seed=first)
        assert [row.failures for row in rows] == [()] * len(rows)
        assert all(row.instances == last - first for row in rows)
