"""Kickback's suite: all is kept; what is broken in R, or in a layer's kick, is noticed and blamed on who hears it."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from antiphon.checks.check import check_grammar
from antiphon.checks.mutants import flipped, silenced, tapped, through, with_operation, wrong_gate
from antiphon.checks.suites.kickback import SIGNED, refuted, targets
from antiphon.grammars import Factory, Grammar, Port, SignCorrect, chain_rule, promised
from antiphon.grammars.library import kickback
from antiphon.grammars.library.kicking import RectifierLayer, Weights, kicking_layers
from antiphon.grammars.response import PARAMETERS

BELOW = {"Rectifier1", "Rectifier2", "Rectifier3"}


def failing(report) -> set[str]:
    return {failure.player for row in report.rows for failure in row.failures}


def told(report, guarantee: str = "") -> list[str]:
    rows = [row for row in report.rows if row.guarantee.startswith(guarantee)]
    return [failure.text.split(" (worst")[0] for row in rows for failure in row.failures]


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return SIGNED(1)


def test_a_flipped_sign_is_named(grammar):
    report = check_grammar(flipped(grammar, Port("kicked Rectifier2")), instances=2)
    assert failing(report) == {"Rectifier2"}
    (text,) = told(report, "exact")
    assert text.startswith("player 'Rectifier2', operator 'mutated kicked Rectifier2': ")
    assert text.endswith("is right, and its output is of the opposite sign")
    (text,) = told(report, "sign-correct")
    assert text.startswith("player 'Rectifier2', operator 'Rectifier2'")


def test_a_flipped_broadcast_misleads_everybody(grammar):
    assert failing(check_grammar(flipped(grammar, Port("Loss *")), instances=1)) == BELOW | {"Rectifier4", "Output"}


def test_a_cut_edge_is_named(grammar):
    report = check_grammar(silenced(grammar, Port("Rectifier3 *", PARAMETERS)), instances=2)
    assert failing(report) == {"Rectifier3"}
    exact, sign = told(report)
    assert exact.startswith("player 'Rectifier3', operator 'mutated Rectifier3 *.-1': ")
    assert exact.endswith("is right, and its output is zero, where a gradient is expected")
    assert sign == (
        "player 'Rectifier3', operator 'mutated Rectifier3 *.-1': inf; "
        "the response to 'Rectifier3' is not what its products compute"
    )


def test_a_gate_at_the_wrong_place_is_named(grammar):
    report = check_grammar(through(grammar, Port("kicked Rectifier1"), wrong_gate), instances=2)
    assert failing(report) == {"Rectifier1"}
    assert "another direction than the gradient" in told(report)[0]


def test_a_tap_in_place_of_the_broadcast_is_named(grammar):
    report = check_grammar(tapped(grammar, Port("Loss *"), Port("Output")), instances=2)
    assert failing(report) == BELOW | {"Rectifier4", "Output"}
    assert any("operator 'mutated Loss *'" in text for text in told(report))


def test_a_tap_in_place_of_a_layers_own_message_is_named(grammar):
    report = check_grammar(tapped(grammar, Port("kicked Rectifier2"), Port("Rectifier2")), instances=2)
    assert failing(report) == {"Rectifier2"}
    assert "operator 'mutated kicked Rectifier2'" in told(report)[0]


def without_kick(beta: Tensor, kick: Tensor) -> Tensor:
    """The broadcast alone, as if every kick were 1."""
    return beta * torch.ones_like(kick)


def test_a_broadcast_without_the_kick_is_named(grammar):
    report = check_grammar(with_operation(grammar, "kicked Rectifier3", without_kick), instances=2)
    assert failing(report) == {"Rectifier3"}


def test_the_edit_left_out_is_named(grammar):
    """With the chain rule's R everyone hears the gradient, which is not what the lower layers' own losses say."""
    mutant = replace(grammar, response=chain_rule(grammar.query, grammar.objective))
    report = check_grammar(mutant, instances=2)
    assert failing(report) == BELOW
    assert told(report, "sign-correct") == []


class LiteralGate(RectifierLayer):  # pyright: ignore[reportGeneralTypeIssues]
    """The essay's gate: rectified values are never below zero, so it is always open."""

    def forward(self, S: Tensor) -> tuple[Tensor, Tensor]:
        played, _ = super().forward(S)
        return played, (torch.ones_like(played) @ self.linear.weight.abs().detach()).reshape(S.shape)


def test_the_essays_gate_in_a_layers_kick_is_noticed_by_whom_it_kicks():
    layers = dict(kicking_layers((5,), [6, 6, 6, 6], weights=Weights.COHERENT))
    layers["Rectifier3"] = Factory.of(LiteralGate, 6, 6, weights=Weights.COHERENT)
    mutant = kickback(targets(0, (5,)), layers)
    report = check_grammar(mutant, instances=5)
    assert failing(report) == {"Rectifier2"}
    assert any("operator 'kicked Rectifier2'" in text for text in told(report, "exact"))


def test_free_weights_break_the_promise_about_signs_and_no_other():
    grammar = kickback(targets(0, (5,)), kicking_layers((5,), [6, 6, 6, 6]))
    report = check_grammar(grammar, instances=5)
    assert failing(report) <= BELOW
    assert told(report, "exact") == []
    assert told(report, "sign-correct")


def test_coherence_alone_is_refuted_and_the_network_printed():
    measurement = refuted(0)
    assert (measurement.value, measurement.bound) == (0.0, 0.0)
    assert measurement.detail == (
        "4 units, sum of |weights| 10, input 1; every kick is positive; layer 1: weights [[1]], biases [0]; "
        "layer 2: weights [[2], [-1]], biases [0, 2]; layer 3: weights [[1, 3]], linear; "
        "unit 1 of layer 1: kick +1, true factor -1"
    )


def test_and_check_says_so_of_that_network_itself():
    """Promised what the essay promises, the counterexample's own grammar fails, at the unit that it names."""
    from antiphon.checks.suites.kickback import grammar_of
    from antiphon.grammars.library.counterexample import smallest_counterexample

    found = smallest_counterexample()
    assert found is not None
    claimed = replace(grammar_of(found), guarantee=promised(SignCorrect(("Layer1",), "every kick is positive")))
    report = check_grammar(claimed, instances=1)
    assert failing(report) == {"Layer1"}
    assert "at Layer1, (0, 0): received" in told(report)[0]
