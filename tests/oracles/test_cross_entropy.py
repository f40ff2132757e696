"""The product of the cross-entropy written by hand has the bits of automatic differentiation."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from antiphon.oracles.operator import Operator

LABELS = {
    "classes": torch.tensor([2, 0, 1, 2]),
    "some ignored": torch.tensor([2, -100, 1, -100]),
    "probabilities": torch.tensor([[0.1, 0.2, 0.7], [1, 0, 0], [0.3, 0.3, 0.4], [0, 0.5, 0.5]]),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("labels", LABELS)
def test_loss_and_gradient_have_the_bits_of_automatic_differentiation(labels, dtype):
    y = LABELS[labels] if LABELS[labels].dtype is torch.int64 else LABELS[labels].to(dtype)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    leaf = x.clone().requires_grad_()
    expected = cross_entropy(leaf, y)
    expected.backward(torch.tensor(-0.7, dtype=dtype))
    loss = Operator("loss", cross_entropy, [((), dtype)], 2, toward=(0,), products=2)
    (value,) = loss.query([x, y], 0)
    for _ in range(2):
        (upstream,), own = loss.respond([torch.tensor(-0.7, dtype=dtype)], (0,), False)
        assert leaf.grad is not None and torch.equal(upstream, leaf.grad) and own == ()
        assert torch.equal(value, expected)
    assert not value.requires_grad


def test_images_and_labels_that_do_not_exist_are_left_to_torch():
    """Of logits (batch, classes, height) it is torch's own loss; a class that is none raises torch's own error."""
    x, y = torch.randn(2, 3, 5), torch.zeros(2, 5, dtype=torch.int64)
    loss = Operator("loss", cross_entropy, [((), torch.float32)], 2, toward=(0,))
    assert torch.equal(loss.query([x, y], 0)[0], cross_entropy(x, y))
    with pytest.raises(IndexError, match="out of bounds"):
        loss.query([torch.randn(2, 3), torch.tensor([0, 3])], 0)
