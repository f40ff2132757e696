"""Supervised learning with a penalty, and likelihood with a prior: their suites, and single faults of their R."""

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from antiphon.checks.check import check_suite
from antiphon.checks.mutants import flipped, silenced, tapped, through, wrong_gate
from antiphon.checks.suites import likelihood, supervised as regression
from antiphon.grammars import Factory, Grammar, Port
from antiphon.grammars.library import supervised
from antiphon.grammars.library.penalty import squared_norm
from antiphon.grammars.maps import scale
from antiphon.grammars.random_grammars import samples


def penalised() -> Grammar:
    predictor, omega = Factory.of(nn.Linear, 3, 2, dtype=torch.float64), Factory.of(squared_norm, weight=0.5)
    return supervised(samples(5, (3,), (2,)), predictor, Factory.of(mse_loss), omega)


GAMES = {"Predictor": penalised(), "Estimator": likelihood.sampled(1)}
"""A grammar for each player."""


@pytest.mark.parametrize(("suite", "rows"), [(likelihood.SUITE, 7), (regression.SUITE, 4)])
def test_the_suite_keeps_its_promises(suite, rows):
    assert [row.verdict for row in check_suite(suite, seed=10, instances=2)] == ["kept"] * rows


@pytest.mark.parametrize(
    ("player", "message", "fault", "told"),
    [
        ("Predictor", "Loss *", flipped, "of the opposite sign"),
        ("Predictor", "d Omega", silenced, "zero, where a gradient is expected"),
        ("Predictor", "Loss *", lambda g, m: through(g, m, wrong_gate), "another direction than the gradient"),
        ("Predictor", "Loss *", lambda g, m: tapped(g, m, Port("Predictor")), ""),
        ("Estimator", "d Surprise", flipped, "of the opposite sign"),
        ("Estimator", "Prior *", silenced, "zero, where a gradient is expected"),
        ("Estimator", "Prior *", lambda g, m: through(g, m, scale, factor=40.0), "40 times the gradient"),
        ("Estimator", "Surprise *", lambda g, m: through(g, m, wrong_gate), ""),
        ("Estimator", "Surprise *", lambda g, m: tapped(g, m, Port("Estimator")), ""),
    ],
    ids=[
        "the loss with the wrong sign", "the penalty forgotten", "a gate", "a tap in place of a product",
        "unlikeliness instead of likelihood", "the prior forgotten", "the prior not shared out among batches",
        "a gate on a density", "a tap in place of a density's product",
    ],
)  # fmt: skip
def test_a_single_fault_is_named(player, message, fault, told, broken):
    (failure,) = broken(fault(GAMES[player], Port(message)))
    assert (failure.player, failure.operator) == (player, f"mutated {message}")
    assert told in failure.text
