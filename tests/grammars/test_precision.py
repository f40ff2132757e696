"""A grammar in double precision: the same names, the same numbers to single precision, and no float32 left."""

import pytest
import torch
from torch import Tensor, nn

from antiphon.coordinator.assignment import assign
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.coordinator.testing import convolutional, points
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library import backprop
from antiphon.grammars.precision import in_float64, widened
from antiphon.grammars.testing import sample_grammar


class Shifted(nn.Module):
    """A module made by a factory of its own, and a tensor among its arguments."""

    def __init__(self, inner: Factory, shift: Tensor) -> None:
        super().__init__()
        self.inner, self.shift = inner(), shift

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + self.shift


def shifted() -> Grammar:
    layers = {"Shifted": Factory.of(Shifted, Factory.of(nn.Linear, 4, 3), torch.ones(3)), "bend": Factory.of(nn.Tanh)}
    return backprop(points(4), {**layers, "Last": Factory.of(nn.Linear, 3, 3)})


def told(grammar: Grammar) -> dict[str, list[Tensor]]:
    with InlineExecutor(assign(grammar, RECORDER)) as executor:
        executor.play(1)
        return delivered(executor)


@pytest.mark.parametrize("make", [convolutional, shifted])
def test_players_keep_names_and_numbers(make):
    grammar, wide = make(), in_float64(make())
    for one, two in zip(grammar.query.players, wide.query.players, strict=True):
        assert [(each.name, each.shape) for each in one.parameters] == [(p.name, p.shape) for p in two.parameters]
        assert {each.dtype for each in two.parameters} == {torch.float64}
        assert [name for name, _ in two.factory().named_parameters()] == [each.name for each in one.parameters]
    single, double = told(grammar), told(wide)
    for player, gradients in single.items():
        assert all(each.dtype == torch.float64 for each in double[player])
        torch.testing.assert_close(gradients, [each.float() for each in double[player]], rtol=1e-3, atol=1e-6)


def test_what_is_double_already_is_left_alone():
    grammar = sample_grammar(3)
    assert in_float64(grammar) is grammar


def test_what_a_factory_carries_is_widened_at_every_depth():
    factory = Factory.of(Shifted, Factory.of(nn.Linear, 4, 3, dtype=torch.float32), shift=[torch.ones(3), 2])
    wide = widened(factory)
    assert wide.target is Shifted
    assert dict(wide.arguments[0].keywords)["dtype"] == torch.float64
    assert dict(wide.keywords)["shift"][0].dtype == torch.float64
    assert dict(wide.keywords)["shift"][1] == 2
