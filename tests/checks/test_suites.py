"""The suite of each grammar: its promises are kept, and each single fault in R is noticed by players that hear it."""

from collections import defaultdict
from dataclasses import replace

import pytest

from antiphon.analysis.check import suite_of
from antiphon.checks.check import check_grammar, check_suite
from antiphon.checks.mutants import hearers, single_faults
from antiphon.checks.report import NOTHING
from antiphon.checks.suite import Case, Suite
from antiphon.grammars import Descent, Exact, Grammar, Guarantee, Insulated, Port, SignCorrect
from antiphon.recipes import LIBRARY

ONE_ROUND = (Exact, SignCorrect, Descent, Insulated)
"""Promises that are measured on a single round. The others are statistical: each names its own margin."""

SLOW = [
    "adjusted-game",
    "byol",
    "direct-feedback-alignment",
    "feedback-alignment",
    "forward-forward",
    "gated-game",
    "maml",
    "recurrent",
    "reinforce",
    "sign-symmetry",
    "soft-actor-critic",
    "synthetic-gradients",
    "target-propagation",
    "truncated-bptt",
    "wgan-gp",
]
SEEDS = defaultdict(lambda: 200, dict.fromkeys(SLOW, 40))
"""The number of random instances, by grammar. Instances of the named ones take longer than a tenth of a second."""

PROMISES = {
    "backprop": {"exact", "comes to rest", "network, layer and unit players receive the same"},
    "kickback": {
        "exact",
        "sign-correct, if no path product is negative",
        "comes to rest",
        "the essay's claim that coherence is enough is refuted",
    },
    **{each: {"exact", "learned", "estimated", "comes to rest"} for each in ("dac", "dac-bandit", "critic-derivative")},
}
"""Some promises of each suite, as reports name them."""

SUBSET, EQUAL = False, True
"""Whether some of the players that hear a wrong message must notice it, or all of them."""


def of_one_round(grammar: Grammar) -> Grammar:
    kept = tuple(each for each in grammar.guarantee.promises if isinstance(each, ONE_ROUND))
    return replace(grammar, guarantee=Guarantee(kept))


def case_of(name: str, case: str) -> Case:
    return next(each for each in suite_of(name).cases if each.name == case)


@pytest.mark.slow
@pytest.mark.parametrize("name", LIBRARY)
def test_the_suite_keeps_its_promises(name):
    suite = suite_of(name)
    rows = check_suite(suite, instances=2)
    assert [row for row in rows if row.failed] == []
    assert {row.case for row in rows} >= {case.name for case in suite.cases}
    assert {row.guarantee for row in rows} >= PROMISES.get(name, set())


@pytest.mark.parametrize(
    ("name", "case", "seed", "who"),
    [
        ("backprop", "dense", 0, EQUAL),
        ("backprop", "convolutional", 0, EQUAL),
        ("recurrent", "small", 0, EQUAL),
        pytest.param("recurrent", "truncated", 0, EQUAL, marks=pytest.mark.slow),
        pytest.param("truncated-bptt", "windows", 0, EQUAL, marks=pytest.mark.slow),
        pytest.param("sign-symmetry", "dense", 0, EQUAL, marks=pytest.mark.slow),
        pytest.param("reinforce", "networks", 0, EQUAL, marks=pytest.mark.slow),
        ("reinforce", "networks", 1, EQUAL),
        ("kickback", "unsigned", 1, EQUAL),
        pytest.param("kickback", "signed", 1, EQUAL, marks=pytest.mark.slow),
        pytest.param("kickback", "convolutional", 1, EQUAL, marks=pytest.mark.slow),
        ("dac", "networks", 0, EQUAL),
        pytest.param("dac-bandit", "networks", 0, EQUAL, marks=pytest.mark.slow),
        pytest.param("critic-derivative", "networks", 0, EQUAL, marks=pytest.mark.slow),
        pytest.param("critic-derivative", "twins", 0, EQUAL, marks=pytest.mark.slow),
        pytest.param("soft-actor-critic", "networks", 0, SUBSET, marks=pytest.mark.slow),
        ("vae", "dense", 0, SUBSET),
        ("vae", "triangular", 0, SUBSET),
        ("gan", "dense", 0, SUBSET),
        ("gan", "non-saturating", 0, SUBSET),
        ("likelihood", "Gaussians", 0, SUBSET),
        ("likelihood", "Gaussians", 1, SUBSET),
        ("supervised", "networks", 0, SUBSET),
        ("supervised", "networks", 1, SUBSET),
        ("black-box-descent", "all signs", 0, EQUAL),
        ("black-box-descent", "all signs", 1, EQUAL),
        ("finite-game", "three players", 1, EQUAL),
        ("convex-game", "quadratic", 2, EQUAL),
        ("online-game", "adversaries", 1, EQUAL),
        ("wgan-gp", "dense", 0, SUBSET),
        pytest.param("adjusted-game", "points", 0, SUBSET, marks=pytest.mark.slow),
        pytest.param("adjusted-game", "points", 2, SUBSET, marks=pytest.mark.slow),
        pytest.param("maml", "network", 2, SUBSET, marks=pytest.mark.slow),
        ("gray-box-descent", "waves", 0, EQUAL),
        ("gray-box-descent", "waves", 1, EQUAL),
        ("temporal-difference", "cloned", 2, SUBSET),
        ("temporal-difference", "semi-gradients", 2, SUBSET),
        ("temporal-difference", "residual gradients", 2, SUBSET),
        ("temporal-difference", "double residual gradients", 2, SUBSET),
        ("temporal-difference", "gtd2", 2, SUBSET),
        ("temporal-difference", "tdc", 2, SUBSET),
        ("temporal-difference", "implicit", 2, SUBSET),
    ],
)
def test_each_single_fault_is_noticed_by_players_that_hear_it(name, case, seed, who):
    grammar = of_one_round(case_of(name, case).make(seed))
    for message, mutant in single_faults(grammar):
        if case == "implicit" and message == Port("tap Nature.sample") and "negate" in repr(mutant.response):
            continue  # harmless: of features only their products with each other are told
        rows = check_grammar(mutant, instances=1).rows
        found = {failure.player for row in rows for failure in row.failures}
        assert found, f"{message!r} was broken, and no player noticed"
        assert found == hearers(grammar, message) if who is EQUAL else found <= hearers(grammar, message), message


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", LIBRARY)
def test_no_false_alarm_on_many_seeds(name):
    """The seeds are shared among the families of the suite that have promises about single rounds."""
    cases = [each for each in suite_of(name).cases if of_one_round(each.make(0)).guarantee.promises]
    for index, case in enumerate(cases):
        first, last = (SEEDS[name] * place // len(cases) for place in (index, index + 1))
        made: set[int] = set()

        def make(seed: int, case: Case = case, made: set[int] = made) -> Grammar:
            made.add(seed)
            return of_one_round(case.make(seed))

        # Players to whom only statistical promises are made are promised nothing here.
        alone = Suite(name, (Case(case.name, make, last - first),))
        rows = [row for row in check_suite(alone, seed=first) if row.verdict != NOTHING]
        assert [(row.verdict, row.failures) for row in rows] == [("kept", ())] * len(rows)
        # Random networks differ in their players and promises, so a row may be about some instances only.
        assert rows
        assert {*range(first, last)} <= made
