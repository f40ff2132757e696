"""A grammar in double precision: the same names, the same numbers to single precision, and no float32 left."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library import backprop
from antiphon.grammars.precision import in_float64
from antiphon.grammars.promotion import as_declared, in_double, widened
from antiphon.grammars.random_grammars import sample_grammar
from rigs.games import convolutional, points


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


def test_numbers_are_widened_at_every_depth():
    found = widened(
        [torch.ones(3), {"a": (torch.float16, 2)}, torch.ones(2, dtype=torch.complex64), torch.ones(1).int()]
    )
    assert [found[0].dtype, found[1]["a"], found[2].dtype, found[3].dtype] == [
        torch.float64,
        (torch.float64, 2),
        torch.complex128,
        torch.int32,
    ]


SINGLE = torch.linspace(0, 1, 4)

WAYS = {
    "made": lambda x: x + torch.zeros(4) + torch.rand(4, dtype=torch.float16) + torch.tensor([0.1]),
    "cast": lambda x: x.float() + x.half() + x.to(torch.bfloat16) + x.type(torch.float32),
    "like another": lambda x: x.to(SINGLE) + x.type_as(SINGLE),
    "with a constant": lambda x: torch.outer(x, x) @ SINGLE,
    "summed": lambda x: x.sum(dtype=torch.float32) + torch.softmax(x, 0, dtype=torch.float16),
    "by numpy": lambda x: torch.from_numpy(np.ones(4, dtype=np.float32)) * x,
    "written": lambda x: torch.empty(4, dtype=torch.float32).copy_(x).mul_(x),
    "under autocast": lambda x: autocast(x),
    "complex": lambda x: torch.fft.fft(x).to(torch.complex64).abs(),
}


def autocast(x: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return torch.outer(x, x) @ x


@pytest.mark.parametrize("way", WAYS)
def test_in_double_every_way_of_torch_to_name_a_dtype_computes_in_float64(way: str):
    x = torch.linspace(0.1, 1, 4, dtype=torch.float64, requires_grad=True)
    with in_double():
        played = WAYS[way](x)
        (slope,) = torch.autograd.grad(played.sum(), x, create_graph=True, allow_unused=True, materialize_grads=True)
    assert (played.dtype, slope.dtype) == (torch.float64, torch.float64)


def test_what_others_hold_keeps_its_dtype_and_is_written_into():
    kept = torch.zeros(4)
    with in_double():
        kept[1:3] = torch.ones(2, dtype=torch.float64)
        kept.index_put_((torch.tensor([3]),), torch.ones(1, dtype=torch.float64))
    assert (kept.dtype, kept.tolist()) == (torch.float32, [0, 1, 1, 1])


def test_within_a_black_box_numbers_stay_as_they_were_declared():
    with in_double(), as_declared():
        assert torch.zeros(2).dtype is torch.float32
    with in_double(), as_declared(), in_double():
        assert torch.zeros(2).dtype is torch.float64
    assert torch.zeros(2).dtype is torch.float32
