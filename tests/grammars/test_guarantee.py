"""Guarantee: promises as data."""

import pytest
import torch
from torch import Tensor

from antiphon.errors import GrammarError
from antiphon.grammars.factory import describe
from antiphon.grammars.guarantee import (
    UNKNOWN,
    Arrives,
    Category,
    Estimated,
    Exact,
    Guarantee,
    Insulated,
    Learned,
    PlayerLoss,
    exact,
    promised,
)
from antiphon.grammars.query import Port


def half(value: Tensor, factor: float = 0.5) -> Tensor:
    return factor * value


def test_categories_are_told_once_in_order():
    learned, estimated = Learned(("A",)), Estimated(("B",))
    assert promised(learned, Arrives(), estimated, learned).categories == (Category.LEARNED, Category.ESTIMATED)
    assert repr(promised(learned, estimated)) == "learned + estimated"
    assert repr(Guarantee()) == "none"
    assert exact() + promised(learned) == promised(Exact(), learned)


def test_exact_names_its_players():
    (promise,) = exact("A", "B").promises
    assert (promise.category, promise.players) == (Category.EXACT, ("A", "B"))


def test_a_players_loss_is_the_one_that_a_promise_to_it_names():
    own = PlayerLoss.of(half, Port("L"), factor=0.25)
    guarantee = promised(Learned(("A",)), Exact(("A", "B"), own), Exact(("C",)))
    assert [guarantee.loss_of(player) for player in "ABC"] == [own, own, None]
    assert repr(own).endswith("test_guarantee:half(factor=0.25) (L)")


def test_promises_are_told_apart_by_their_description():
    one, other = Exact(("A",)), Exact(("A",), PlayerLoss.of(half, Port("L")))
    assert describe(one) != describe(other)
    assert describe(one) == describe(Exact(("A",)))


def test_what_nobody_knows_is_said_so():
    with pytest.raises(GrammarError, match="a player's loss was asked for that is not known for these modules"):
        UNKNOWN.operation.target(*(torch.zeros(()) for _ in UNKNOWN.inputs))


def test_promises_go_to_those_in_a_players_place():
    own = PlayerLoss.of(half, Port("L"))
    promises = promised(Learned(("A", "B")), Exact(), Exact(("A",), own), Insulated(("B",), ("A",)))
    found = promises.regrouped(lambda player: ("C", "D") if player == "A" else (player,), lambda port: Port("M"))
    moved = PlayerLoss.of(half, Port("M"))
    insulated = Insulated(("B",), ("C", "D"))
    assert found == promised(Learned(("C", "D", "B")), Exact(), Exact(("C", "D"), moved), insulated)


def test_a_promise_of_a_value_that_is_no_longer_played_is_dropped():
    promises = promised(Exact(("A",), PlayerLoss.of(half, Port("L"))), Exact(("A",)), Estimated(("A",), UNKNOWN))
    found = promises.regrouped(lambda player: (player,), lambda port: None)
    assert found == promised(Exact(("A",)), Estimated(("A",), UNKNOWN))
