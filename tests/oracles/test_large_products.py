"""Large products by oneDNN: the numbers of plain autograd, wherever a module multiplies with a matrix."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from antiphon.oracles import large_products
from antiphon.oracles.large_products import with_large_products
from antiphon.oracles.tape import AutogradTape

WIDTH = 192


class Mixed(nn.Module):
    """A layer with bias and one without, and products with a matrix that is written in several ways."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH, bias=False)
        self.matrix = nn.Parameter(torch.randn(WIDTH, WIDTH) / WIDTH**0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.second(torch.relu(self.first(x)))) @ self.matrix
        return torch.matmul(y, self.matrix.t()).matmul(self.matrix).sum(-2) + nn.functional.linear(y, self.matrix)[:, 0]


@pytest.fixture
def products(monkeypatch):
    """The shapes of the products that oneDNN computed."""
    found = []
    plain = large_products.affine
    monkeypatch.setattr(large_products, "affine", lambda x, w, b=None: found.append(w.shape) or plain(x, w, b))
    return found


def test_values_and_gradients_are_those_of_plain_autograd(products):
    torch.manual_seed(0)
    module, x = Mixed(), torch.randn(4, 64, WIDTH)
    parameters = list(module.parameters())
    fast = with_large_products(module, parameters, 256)
    tapes = [AutogradTape(each, [0], parameters, 2) for each in (module, fast)]
    found = []
    for tape in tapes:
        (played,) = tape.query([x])
        told = torch.linspace(-1, 1, played.numel()).view_as(played)
        upstream, own = tape.respond([told], [0], True)
        found.append([played, *upstream, *own, *tape.respond([told], [], True)[1]])
    assert len(products) == 6
    assert_close(found[1], found[0], rtol=1e-4, atol=1e-4)


def test_gradients_can_be_differentiated_again(products):
    torch.manual_seed(0)
    layer, x = nn.Linear(WIDTH, WIDTH), torch.randn(64, WIDTH, requires_grad=True)
    found = []
    for each in (layer, with_large_products(layer, list(layer.parameters()), 64)):
        (slope,) = torch.autograd.grad(torch.tanh(each(x)).square().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(slope.square().sum(), [x, *layer.parameters()]))
    assert len(products) == 1
    assert_close(found[1], found[0], rtol=1e-4, atol=1e-4)


def test_transforms_of_functions_give_what_they_give_of_plain_products(products):
    torch.manual_seed(0)
    layer, x, step = nn.Linear(WIDTH, WIDTH), torch.randn(64, WIDTH), torch.randn(64, WIDTH)
    fast = with_large_products(layer, list(layer.parameters()), 64)
    for of in (
        lambda f: torch.func.jvp(f, (x,), (step,))[1],
        lambda f: torch.func.grad(lambda y: f(y).square().sum())(x),
        lambda f: torch.func.vmap(f)(torch.stack([x, step])),
        lambda f: torch.func.jvp(torch.func.grad(lambda y: f(y).square().sum()), (x,), (step,))[1],
    ):
        assert_close(of(fast), of(layer), rtol=1e-4, atol=1e-4)
    assert len(products) >= 3


def test_a_compiled_module_gives_the_same():
    layer, x = nn.Linear(WIDTH, WIDTH), torch.randn(64, WIDTH)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    assert_close(with_large_products(compiled, list(layer.parameters()), 64)(x), layer(x))


def test_hooks_are_called_and_autocast_keeps_its_dtype(products):
    layer, x, called = nn.Linear(WIDTH, WIDTH), torch.randn(64, WIDTH, requires_grad=True), []
    layer.register_forward_hook(lambda *_: called.append("forward"))
    layer.register_full_backward_hook(lambda *_: called.append("backward"))
    fast = with_large_products(layer, list(layer.parameters()), 64)
    fast(x).sum().backward()
    assert called == ["forward", "backward"]
    assert len(products) == 1
    with torch.autocast("cpu", torch.bfloat16):
        assert fast(x).dtype is torch.bfloat16
    assert len(products) == 1


@pytest.mark.parametrize(
    ("layer", "rows"), [(nn.Linear(WIDTH, WIDTH), 1), (nn.Linear(WIDTH, WIDTH).double(), 64), (nn.Conv1d(9, 9, 3), 64)]
)
def test_other_modules_are_called_as_they_are(layer, rows):
    assert with_large_products(layer, list(layer.parameters()), rows) is layer
