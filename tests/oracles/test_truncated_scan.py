"""Truncated backpropagation through time equals a loop written by hand with detach, window by window."""

import pytest
import torch
from torch import nn

from antiphon.grammars import scan
from antiphon.grammars.truncation import Truncation
from antiphon.oracles.truncated_scan import TruncatedScan

BATCH, WIDTH, HIDDEN = 3, 2, 4
CASES = [(7, 7, 7), (7, 9, 2), (7, 3, 1), (7, 4, 3), (6, 2, 2), (5, 1, 1), (1, 1, 1)]
"""Numbers of steps, with h and h' of BPTT(h; h')."""


def by_hand(cell, x, mask, state, weights, through, every):
    """The sum over windows of the loss of their newest outputs, each from a state that is detached, and the last state
    in the last window."""

    def advance(h, c, at):
        live = mask[:, at, None]
        new = cell(x[:, at], (h, c))
        return torch.where(live, new[0], h), torch.where(live, new[1], c)

    total, steps = torch.zeros((), dtype=x.dtype), x.shape[1]
    for first in range(0, steps, every):
        last = min(first + every, steps)
        begin = max(0, last - through)
        h, c = state
        if begin:
            with torch.no_grad():
                for at in range(begin):
                    h, c = advance(h, c, at)
            h, c = h.detach(), c.detach()
        for at in range(begin, last):
            h, c = advance(h, c, at)
            if at >= first:
                total = total + (weights[0][:, at] * torch.where(mask[:, at, None], h, 0)).sum()
        if last == steps:
            total = total + (weights[1] * h).sum() + (weights[2] * c).sum()
    return total


@pytest.mark.parametrize(("steps", "through", "every"), CASES)
def test_the_gradient_is_that_of_a_loop_with_detach(steps, through, every):
    torch.manual_seed(steps)
    whole = scan(nn.LSTMCell, WIDTH, HIDDEN, carried=2, masked=True)().double()
    x = torch.randn(BATCH, steps, WIDTH).double().requires_grad_()
    mask = torch.rand(BATCH, steps) < 0.8
    state = [torch.randn(BATCH, HIDDEN).double().requires_grad_() for _ in range(2)]
    weights = [torch.randn(BATCH, steps, HIDDEN).double(), *(torch.randn(BATCH, HIDDEN).double() for _ in range(2))]
    wanted = [x, *state, *whole.parameters()]
    truth = torch.autograd.grad(by_hand(whole.cell, x, mask, state, weights, through, every), wanted, allow_unused=True)
    truth = [torch.zeros_like(of) if each is None else each for each, of in zip(truth, wanted, strict=True)]
    truncation = Truncation(through, every)
    values = whole(x, *state, mask)
    for function in (TruncatedScan(whole, truncation), lambda *given: whole.held(truncation, *given)):
        played = function(x, *state, mask)
        for mine, other in zip(played, values, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-13, atol=1e-13)
        found = torch.autograd.grad(played, wanted, weights, allow_unused=True)
        for mine, other in zip(found, truth, strict=True):
            torch.testing.assert_close(torch.zeros_like(other) if mine is None else mine, other, rtol=1e-11, atol=1e-13)
    if truncation.is_exact(steps):
        for mine, other in zip(torch.autograd.grad(values, wanted, weights), truth, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-11, atol=1e-13)


def test_without_a_state_at_the_start_and_with_some_cotangents_missing():
    torch.manual_seed(0)
    whole = scan(nn.RNNCell, WIDTH, HIDDEN)().double()
    x = torch.randn(BATCH, 6, WIDTH).double().requires_grad_()
    played, last = TruncatedScan(whole, Truncation(6, 2))(x)
    truth, end = whole(x)
    wanted = [x, *whole.parameters()]
    for mine, other in (([played], [truth]), ([last], [end])):
        for one, two in zip(
            torch.autograd.grad(mine[0].sum(), wanted, retain_graph=True),
            torch.autograd.grad(other[0].sum(), wanted, retain_graph=True),
            strict=True,
        ):
            torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-13)
