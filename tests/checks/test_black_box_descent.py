"""The two protocols of Definition 3 keep their promises, and a fault at any place of their R is found."""

from dataclasses import replace

import pytest
import torch

from antiphon.checks.check import check_grammar
from antiphon.checks.mutants import tapped, through, with_operation, wrong_gate
from antiphon.checks.suites.black_box_descent import by_chance, every_sign
from antiphon.checks.suites.gray_box_descent import wave
from antiphon.errors import BlackBoxError
from antiphon.grammars import Grammar, Guarantee, Insulated, Port, chain_rule, promised
from antiphon.grammars.library.black_box_descent import simultaneous_perturbation

ESTIMATE = Port("simultaneous_perturbation")


def instant(grammar: Grammar) -> Grammar:
    """Only the promises that a single round shows."""
    promises = [each for each in grammar.guarantee.promises if type(each).__name__ != "Arrives"]
    return replace(grammar, guarantee=Guarantee(tuple(promises)))


def failing(mutant: Grammar) -> list[tuple[str, str]]:
    """(player, operator) of each failure."""
    return [(each.player, each.operator) for row in check_grammar(mutant, instances=1).rows for each in row.failures]


def taken(ahead, behind, eps, factor=1.0):
    """A forward difference's half: the second value is not looked at."""
    return simultaneous_perturbation(ahead, 0 * behind, eps, factor)


def unscaled(ahead, behind, eps, factor=1.0):
    """The dimension is forgotten: a direction, but no gradient."""
    return simultaneous_perturbation(ahead, behind, eps, factor) / eps.shape[1]


def uphill(ahead, behind, eps, factor=1.0):
    """The direction of the objective is forgotten."""
    return simultaneous_perturbation(ahead, behind, eps, -factor)


@pytest.mark.parametrize("make", [every_sign, by_chance])
@pytest.mark.parametrize("wrong", [unscaled, uphill])
def test_a_wrong_estimate_is_found_where_player_hears_it(make, wrong):
    mutant = with_operation(instant(make(0)), ESTIMATE.node, wrong)
    assert set(failing(mutant)) == {("Player", ESTIMATE.node)}


def test_a_single_value_is_found_to_be_half_of_the_truth():
    grammar = with_operation(instant(every_sign(0)), ESTIMATE.node, taken)
    (row,) = [row for row in check_grammar(grammar, instances=1).rows if row.failures]
    assert "its output is 0.5 times the gradient" in row.failures[0].text


def test_a_gate_where_none_belongs_is_found():
    assert set(failing(through(instant(every_sign(2)), ESTIMATE, wrong_gate))) == {("Player", f"mutated {ESTIMATE!r}")}


def test_a_tap_in_place_of_the_estimate_is_found():
    assert set(failing(tapped(instant(every_sign(0)), ESTIMATE, Port("Player")))) == {
        ("Player", f"mutated {ESTIMATE!r}")
    }


def test_without_the_edit_there_is_no_grammar():
    grammar = every_sign(0)
    with pytest.raises(BlackBoxError) as refused:
        chain_rule(grammar.query, grammar.objective)
    assert str(refused.value) == (
        "the chain rule needs a gradient of 'value' from oracle 'Oracle' on the way to player 'Player'; expected a "
        "gray box, but it is a black box and answers values only. Cut it (`edit=cut_into('Oracle')`), or let a player "
        "estimate the gradient."
    )


def test_what_is_told_of_a_derivative_is_no_tap():
    """The gray game under the black one's promise: Player hears of Oracle's derivative, and the check says so."""
    gray = replace(wave(0), guarantee=promised(Insulated(("Player",), ("Oracle",), taps=True)))
    assert failing(gray) == [("Player", "Oracle.value *")]


def test_the_draws_differ():
    """Estimated would be vacuous if Noise drew the same signs in every round."""
    noise = next(each.declaration for each in by_chance(0).query.oracles if each.name == "Noise").make(seed=0)
    drawn = torch.stack([noise.answer("sample", (), round)[0] for round in range(20)])
    assert len(drawn.unique(dim=0)) == 4
