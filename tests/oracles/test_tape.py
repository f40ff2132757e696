"""The two parts of a product, asked one after the other, take one pass through a module of several layers."""

import pytest
import torch
from torch import Tensor, nn

from antiphon.oracles.operator import Operator


class Network(nn.Module):
    """Layers and an activation between them that counts how often its gradient is computed."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers, self.passes = nn.ModuleList([nn.Linear(3, 3) for _ in range(layers)]), 0

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x).sin()
            if x.requires_grad:
                x.register_hook(self._counted)
        return x

    def _counted(self, _: Tensor) -> None:
        self.passes += 1


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("one_product", [True, False])
def test_the_parts_of_one_product_take_one_pass_through_several_layers(layers: int, one_product: bool) -> None:
    module, x, told = Network(layers), torch.randn(4, 3), torch.randn(4, 3)
    leaf = x.clone().requires_grad_()
    expected = torch.autograd.grad(module(leaf), [leaf, *module.parameters()], told)
    module.passes = 0
    parameters = tuple(module.parameters())
    box = Operator("player 'A'", module, [((4, 3), torch.float32)], 1, (0,), parameters, 2, one_product)
    box.query([x], 0)
    (upstream,), none = box.respond([told], (0,), parameters=False)
    _, own = box.respond([told], (), parameters=True)
    assert not none
    assert all(map(torch.equal, expected, [upstream, *own]))
    assert module.passes == (1 if one_product and layers > 1 else 2) * layers
