"""The product of a sum written by hand has the bits of automatic differentiation."""

import pytest
import torch

from antiphon.oracles.operator import Operator

INPUTS = {
    "alike": (torch.randn(4, 3), torch.randn(4, 3)),
    "broadcast": (torch.randn(4, 3), torch.randn(3)),
    "of two dtypes": (torch.randn(4, 3), torch.randn(4, 3, dtype=torch.float64)),
}


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("toward", [(0, 1), (1,), ()])
def test_sum_and_gradients_have_the_bits_of_automatic_differentiation(inputs, toward):
    leaves = [each.clone().requires_grad_() for each in INPUTS[inputs]]
    expected = torch.add(*leaves)
    told = torch.randn(expected.shape, dtype=expected.dtype)
    expected.backward(told)
    total = Operator("sum", torch.add, [(tuple(expected.shape), expected.dtype)], 2, toward=toward, products=2)
    (value,) = total.query(INPUTS[inputs], 0)
    assert torch.equal(value, expected) and not value.requires_grad
    for _ in range(2 if toward else 0):
        upstream, own = total.respond([told], toward, False)
        assert own == () and len(upstream) == len(toward)
        assert all(torch.equal(each, leaves[index].grad) for each, index in zip(upstream, toward, strict=True))
