"""The benchmark of games, in short: factors are those of theory, regrets and gaps are under their bounds."""

import pytest

from benchmarks import games


def test_factors_regrets_and_gaps_are_those_of_theory():
    assert [found == pytest.approx(theory, abs=2e-4) for *_, found, theory in games.factors(80)].count(False) == 0
    assert all(0 < found <= bound for *_, found, bound in games.regrets(200))
    assert all(found <= bound for *_, found, bound in games.units(100))
    first, last = games.in_shapleys_game("swap-regret", [1, 200])
    assert last[0] <= last[3] and last[0] < first[0]
