"""Supervised learning, checked: its suite keeps what is promised, and no fault in R stays unseen."""

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from antiphon.checks.check import check_suite
from antiphon.checks.mutants import flipped, silenced, tapped, through, wrong_gate
from antiphon.checks.suites.supervised import SUITE
from antiphon.grammars import Factory, Grammar, Port
from antiphon.grammars.library import supervised
from antiphon.grammars.library.penalty import squared_norm
from antiphon.grammars.testing import samples


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    """A penalised regression."""
    predictor, omega = Factory.of(nn.Linear, 3, 2, dtype=torch.float64), Factory.of(squared_norm, weight=0.5)
    return supervised(samples(5, (3,), (2,)), predictor, Factory.of(mse_loss), omega)


def test_the_suite_keeps_its_promises():
    rows = check_suite(SUITE, seed=10, instances=2)
    assert [row.verdict for row in rows] == ["kept"] * 4


def test_a_sign_flipped_at_the_loss(grammar, broken):
    (failure,) = broken(flipped(grammar, Port("Loss *")))
    assert (failure.player, failure.operator) == ("Predictor", "mutated Loss *")
    assert "what it tells is of the opposite sign" in failure.text


def test_the_penalty_forgotten(grammar, broken):
    (failure,) = broken(silenced(grammar, Port("d Omega")))
    assert (failure.player, failure.operator) == ("Predictor", "mutated d Omega")
    assert "what it tells is nothing, where a gradient is expected" in failure.text


def test_a_gate_where_none_belongs(grammar, broken):
    (failure,) = broken(through(grammar, Port("Loss *"), wrong_gate))
    assert failure.operator == "mutated Loss *"
    assert "is another direction than the gradient" in failure.text


def test_a_tap_in_place_of_a_product(grammar, broken):
    (failure,) = broken(tapped(grammar, Port("Loss *"), Port("Predictor")))
    assert (failure.player, failure.operator) == ("Predictor", "mutated Loss *")
