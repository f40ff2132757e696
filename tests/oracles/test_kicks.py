"""Products written by hand for the dense layers of kickback are those of automatic differentiation."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from antiphon.grammars.library.kicking import ConvolutionLayer, OutputLayer, RectifierLayer, Weights
from antiphon.oracles.kicks import KickTape, kick_of
from antiphon.oracles.operator import Operator
from antiphon.oracles.tape import AutogradTape

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "rectifier": partial(RectifierLayer, 6, 4),
    "signed": partial(RectifierLayer, 6, 4, signed=True),
    "started": partial(RectifierLayer, 6, 4, signed=True, weights=Weights.STARTED),
    "coherent": partial(RectifierLayer, 6, 4, signed=True, weights=Weights.COHERENT),
    "output": partial(OutputLayer, 6),
}
LATE: dict[str, Callable[[Any], object]] = {
    "nothing": lambda layer: None,
    "hook": lambda layer: layer.register_forward_hook(lambda _, x, y: (2 * y[0], y[1])),
    "hook inside": lambda layer: layer.linear.weight.register_hook(torch.neg),
    "coherent": lambda layer: setattr(layer, "weights", Weights.COHERENT),
    "other signs": lambda layer: setattr(layer, "signs", nn.Buffer(-layer.signs)),
    "signs in place": lambda layer: layer.signs.neg_(),
    "weight in place": lambda layer: layer.linear.weight.data.neg_(),
}


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(len(shape)))


def tape_of(layer: nn.Module) -> KickTape | None:
    parameters = tuple(layer.parameters())
    return kick_of(layer, parameters, AutogradTape(layer, [0], parameters, 1))


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("shape", [(5, 6), (5, 2, 3)], ids=str)
def test_the_products_are_those_of_autograd_whatever_is_changed_later(kind, late, shape):
    torch.manual_seed(3)
    layer = LAYERS[kind]().double()
    tape = tape_of(layer)
    assert tape is not None
    if "signs" not in late or hasattr(layer, "signs"):
        LATE[late](layer)
    S, told = numbers(*shape), numbers(5, *layer(numbers(*shape))[0].shape[1:])
    recorded = AutogradTape(layer, [0], tuple(layer.parameters()), 1)
    for toward, parameters in (([0], True), ([0], False), ([], True)):
        played, expected = tape.query([S]), recorded.query([S])
        found = tape.respond([told, torch.ones_like(S)], toward, parameters)
        other = recorded.respond([told, None], toward, parameters)
        for these, those in zip((played, *found), (expected, *other), strict=True):
            assert len(these) == len(those)
            for one, two in zip(these, those, strict=True):
                torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-14)


def test_only_a_dense_layer_as_it_was_written_is_known():
    hooked, frozen = RectifierLayer(6, 4), RectifierLayer(6, 4)
    hooked.register_forward_hook(lambda *_: None)
    frozen.linear.weight.requires_grad_(False)
    for layer in (hooked, nn.Linear(6, 4), ConvolutionLayer(1, 2), nn.Sequential(RectifierLayer(6, 4))):
        assert tape_of(layer) is None
    assert kick_of(frozen, [frozen.linear.bias], AutogradTape(frozen, [], [frozen.linear.bias], 1)) is None
    layer = RectifierLayer(6, 4)
    outputs = [((5, 4), torch.float32), ((5, 6), torch.float32)]
    assert isinstance(Operator("player 'A'", layer, outputs, 1, (), tuple(layer.parameters()))._tape, KickTape)
