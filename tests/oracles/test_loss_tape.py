"""The products of losses written by hand have the bits of automatic differentiation."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from antiphon.oracles.loss_tape import LossTape
from antiphon.oracles.operator import Operator

SECOND = {
    "classes": torch.tensor([2, 0, 1, 2]),
    "some ignored": torch.tensor([2, -100, 1, -100]),
    "probabilities": torch.tensor([[0.1, 0.2, 0.7], [1, 0, 0], [0.3, 0.3, 0.4], [0, 0.5, 0.5]]),
}


def told(dtype: torch.dtype) -> Tensor:
    return torch.tensor(-0.7, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    ("function", "second", "toward"),
    [*[(cross_entropy, each, (0,)) for each in SECOND]]
    + [(mse_loss, "probabilities", toward) for toward in [(0,), (1,), (0, 1), (1, 0)]],
)
def test_loss_and_gradient_have_the_bits_of_automatic_differentiation(function, second, toward, dtype):
    y = SECOND[second] if SECOND[second].dtype is torch.int64 else SECOND[second].to(dtype)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    leaves = [each.clone().requires_grad_(index in toward) for index, each in enumerate((x, y))]
    expected = function(*leaves)
    expected.backward(told(dtype))
    loss = Operator("loss", function, [((), dtype)], 2, toward=toward, products=2)
    assert isinstance(loss._tape, LossTape)
    (value,) = loss.query([x, y], 0)
    for _ in range(2):
        upstream, own = loss.respond([told(dtype)], toward, False)
        assert all(map(torch.equal, upstream, [leaves[index].grad for index in toward])) and own == ()
        assert len(upstream) == len(toward) and torch.equal(value, expected)
    assert not value.requires_grad


def test_inputs_of_other_shapes_and_labels_that_do_not_exist_are_left_to_torch():
    """Of logits (batch, classes, height) it is torch's own loss; a class that is none raises torch's own error."""
    x, y = torch.randn(2, 3, 5), torch.zeros(2, 5, dtype=torch.int64)
    loss = Operator("loss", cross_entropy, [((), torch.float32)], 2, toward=(0,))
    assert torch.equal(loss.query([x, y], 0)[0], cross_entropy(x, y))
    with pytest.raises(IndexError, match="out of bounds"):
        loss.query([torch.randn(2, 3), torch.tensor([0, 3])], 0)
    squares = Operator("loss", mse_loss, [((), torch.float32)], 2, toward=(0,))
    with pytest.warns(UserWarning, match="target size"):
        assert squares.query([x, x[:1]], 0)[0] == (x - x[:1]).square().mean()
    (upstream,), _ = squares.respond([told(torch.float32)], (0,), False)
    torch.testing.assert_close(upstream, -0.7 * 2 * (x - x[:1]) / x.numel())
