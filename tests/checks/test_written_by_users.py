"""What plays can be checked: modules as users write them are measured in float64, or in their own precision by name."""

import pytest
import torch
from torch import Tensor

from antiphon.checks.check import check_grammar
from antiphon.checks.mutants import flipped, messages, silenced
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.errors import GrammarError
from antiphon.grammars import Grammar, Port
from antiphon.grammars.response import PARAMETERS
from tests.checks.games_of_users import GAMES, game
from tests.checks.written_by_users import SINGLE, Simple

EXACT = 1e-10


@pytest.mark.parametrize("name", GAMES)
def test_what_plays_can_be_checked_and_one_fault_of_it_is_noticed(name: str):
    grammar = GAMES[name]()
    with InlineExecutor(assign(grammar)) as executor:
        assert executor.play(2).round == 2
    (row,) = check_grammar(grammar, instances=1).rows
    assert row.verdict == "kept", row
    assert row.bound == EXACT or name in {each.__name__ for each in SINGLE}
    assert ("float32" in row.detail) is (row.bound > EXACT)
    assert check_grammar(fault(grammar, name), instances=1).failed


def fault(grammar: Grammar, name: str) -> Grammar:
    """One message of R flipped or cut, another one for each name."""
    found = messages(grammar)
    number = sum(map(ord, name))
    return (flipped, silenced)[number % 2](grammar, found[number % len(found)])


@pytest.mark.slow
@pytest.mark.parametrize("name", GAMES)
def test_every_fault_is_noticed(name: str):
    grammar = GAMES[name]()
    for message in messages(grammar):
        for broken in (flipped, silenced):
            assert check_grammar(broken(grammar, message), instances=1).failed, message


@pytest.mark.parametrize("module", SINGLE)
def test_what_refuses_float64_is_measured_as_it_was_declared_and_the_report_says_so(module: type):
    (row,) = check_grammar(game(module), instances=1).rows
    assert "measured in float32, within 0.00035" in row.detail
    assert row.bound == pytest.approx(torch.finfo(torch.float32).eps ** 0.5)
    (row,) = check_grammar(flipped(game(module), Port("Module *", PARAMETERS)), instances=1).rows
    assert [each.player for each in row.failures] == ["Module"]
    assert "of the opposite sign" in row.failures[0].detail


class Forgetful(Simple):
    """Depends on what no copy of it can know."""

    asked: list[int] = []  # noqa: RUF012 - shared by all, which is the fault

    def bend(self, h: Tensor) -> Tensor:
        self.asked.append(1)
        return h * len(self.asked)


def test_a_module_that_plays_other_values_when_it_is_asked_again_is_refused_by_name():
    with pytest.raises(GrammarError, match=r"player 'Module' .* played other values at Module"):
        check_grammar(game(Forgetful), instances=1)
