"""Truncated backpropagation through time: what is promised, and what is refused."""

import pytest
import torch
from torch import nn

from antiphon.envs import arrays
from antiphon.errors import AntiphonError
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.library import truncated_bptt

STEPS = 6


def game(through: int, every: int, *example: int) -> Grammar:
    nature = arrays(torch.randn(8, *example), torch.arange(8) % 3, batch=4)
    cell, readout = Factory.of(nn.RNNCell, 2, 5), Factory.of(nn.Linear, 5, 3)
    return truncated_bptt(nature, cell, readout, through=through, every=every)


def test_all_steps_are_exact_and_fewer_are_exact_for_a_loss_with_held_states():
    assert repr(game(STEPS, 2, STEPS, 2).guarantee) == "exact"
    short = game(4, 2, STEPS, 2)
    assert repr(short.guarantee) == "exact + estimated" and "by BPTT(4; 2)" in repr(short.response)


@pytest.mark.parametrize(("given", "told"), [((1, 2, STEPS, 2), "through"), ((2, 1, STEPS, 3), "'Cell'")])
def test_what_does_not_fit_is_refused(given, told):
    with pytest.raises(AntiphonError) as refused:
        game(*given)
    assert told in str(refused.value)
