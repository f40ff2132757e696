"""Figures of a run: they are numbers of autograd, equal under every placement, and change nothing."""

from collections.abc import Mapping

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import antiphon
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.figures import Quantity, figures_of
from antiphon.coordinator.plan.placement import spread
from antiphon.grammars.states import same_states

EXAMPLES = 12
OUTPUTS: Mapping[str, Mapping[str, Quantity]] = {
    "B": {"middle": "mean", "length": "norm"},
    "Nobody": {"middle": "mean"},
}


def game():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(EXAMPLES, 3, generator=generator), torch.arange(EXAMPLES) % 4
    layer = antiphon.Factory.of
    players = {"A": layer(nn.Linear, 3, 5), "B": layer(nn.Linear, 5, 4)}
    return x, y, antiphon.backprop(antiphon.arrays(x, y, batch=EXAMPLES), players)


def played(grammar, rounds=2, figures=True, **settings):
    """The report of a few rounds, and the states after them."""
    asked = figures_of(grammar, OUTPUTS) if figures else ()
    with InlineExecutor(assign(grammar, antiphon.agent("SGD", lr=0.5), figures=asked, **settings)) as executor:
        return executor.play(rounds).reports, executor.states()


def test_figures_are_those_of_the_first_round_by_autograd():
    x, y, grammar = game()
    with InlineExecutor(assign(grammar)) as executor:
        modules = executor.modules()
        output = modules["B"](modules["A"](x))
        cross_entropy(output, y).backward()
        output = output.detach()
    reports, _ = played(grammar)
    for name in ("A", "B"):
        gradient = torch.cat([each.grad.reshape(-1) for each in modules[name].parameters() if each.grad is not None])
        assert reports[name]["gradient_norm"] == pytest.approx(float(gradient.norm()), rel=1e-5)
        assert reports[name]["lr"] == 0.5
    assert reports["B"]["middle"] == pytest.approx(float(output.mean()), rel=1e-5)
    assert reports["B"]["length"] == pytest.approx(float(output.norm(dim=1).mean()), rel=1e-5)


def test_figures_that_nobody_asks_for_are_not_measured_and_the_others_change_no_number():
    _, _, grammar = game()
    with_figures, without = played(grammar), played(grammar, figures=False)
    assert same_states(with_figures[1], without[1])
    assert not {"A", "B"} & without[0].keys()


def test_figures_have_the_same_bits_on_every_worker_and_are_new_in_each_batch():
    _, _, grammar = game()
    alone, _ = played(grammar)
    assert played(grammar, placement=spread(grammar, agents={"A": "Elsewhere"}))[0] == alone
    with InlineExecutor(assign(grammar, figures=figures_of(grammar, OUTPUTS))) as executor:
        first, second = executor.play(1).reports, executor.play(1).reports
    assert all(first[name]["gradient_norm"] != second[name]["gradient_norm"] for name in ("A", "B"))


@pytest.mark.parametrize("settings", [{"microbatches": 3}, {"staleness": 1}], ids=str)
def test_figures_of_divided_and_of_overlapping_rounds(settings):
    _, _, grammar = game()
    alone, divided = played(grammar)[0], played(grammar, **settings)[0]
    for name in ("A", "B"):
        assert divided[name]["gradient_norm"] == pytest.approx(alone[name]["gradient_norm"], rel=1e-5)
