"""An Actor's output fits the bounds of the action: it stays within them, and comes as near to each as one likes."""

import itertools
import math

import pytest
import torch

from antiphon.grammars.library.networks import Policy, Within

BOUNDS = list(itertools.product((-math.inf, -3.0, 2.0), (5.0, math.inf)))
LOW, HIGH = zip(*BOUNDS, strict=True)


def test_it_is_increasing_smooth_within_bounds_and_reaches_up_to_them():
    x = torch.linspace(-60, 60, 241, dtype=torch.float64).unsqueeze(1).repeat(1, len(BOUNDS)).requires_grad_()
    y = Within(LOW, HIGH)(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert torch.isfinite(y).all() and torch.isfinite(slope).all() and (slope >= 0).all() and (slope <= 4).all()
    assert (slope[100:141] > 0).all()  # where it is not yet flat to the last digit
    for column, (low, high) in zip(y.T, BOUNDS, strict=True):
        assert low <= column.min() and column.max() <= high
        for end, bound in ((column[0], low), (column[-1], high)):
            assert end.item() == pytest.approx(bound, abs=1e-9) if math.isfinite(bound) else end.abs() > 50


def test_bounds_of_one_on_both_sides_are_tanh():
    x = torch.randn(5, 2)
    assert torch.equal(Within((-1.0, -1.0), (1.0, 1.0))(x), torch.tanh(x))
    torch.manual_seed(0)
    plain = Policy(3, 2, (4,))
    torch.manual_seed(0)
    bounded = Policy(3, 2, (4,), (-1.0, -1.0), (1.0, 1.0))
    state = torch.randn(6, 3)
    assert torch.equal(plain(state), bounded(state)) and plain.state_dict().keys() == bounded.state_dict().keys()
