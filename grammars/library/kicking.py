"""Layers for kickback, and dense and convolutional networks of such layers.

Each layer returns its output and its kick: the gradient of the sum of its outputs with respect to its input.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from math import prod
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, linear

from antiphon.grammars.factory import Factory
from antiphon.grammars.typed import typed


class Weights(StrEnum):
    """Which signs the weights of a layer may have.

    COHERENT: each weight always has the sign (+1 or -1) of the unit that it leads to, so that no path through
    the layer changes a sign. STARTED: the weights have these signs at the start, any sign afterwards. FREE: any sign,
    as torch draws them.
    """

    FREE = "free"
    STARTED = "started"
    COHERENT = "coherent"


@final
class RectifierLayer(nn.Module):
    """A dense layer for kickback: s ⊙ max(0, W S + b), (batch, ...) -> (batch, outputs), and the kick W' (s ⊙ [W S + b
    > 0]).

    The kick is the gradient of the sum of the outputs with respect to S. signed: s is -1 for every second unit and +1
    for the others; if false, +1 for all. With coherent weights, an unsigned layer is increasing and convex in S; a
    signed one is increasing, with convex and concave units. The kick tests the value before the rectifier: after the
    rectifier, the essay's condition `>= 0` would always hold.
    """

    def __init__(self, inputs: int, outputs: int, *, signed: bool = False, weights: Weights = Weights.FREE) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.weights, self.signs = weights, nn.Buffer(unit_signs(outputs, signed))
        start(self.linear.weight, self.signs[:, None], weights)

    def forward(self, S: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output and the kick. S: (batch, ...); the layer flattens it."""
        weight = held(self.linear.weight, self.signs[:, None], self.weights)
        before = linear(S.flatten(1), weight, self.linear.bias)
        kick = linear(self.signs * (before > 0), weight.detach().t())
        return self.signs * torch.relu(before), kick.reshape(S.shape)


@final
class OutputLayer(nn.Module):
    """The last layer for kickback, linear: W S + b, (batch, ...) -> (batch, 1), and the kick W, the same for each
    example.

    The kick is the gradient of the output with respect to S.
    """

    def __init__(self, inputs: int, *, weights: Weights = Weights.FREE) -> None:
        super().__init__()
        self.linear, self.weights = nn.Linear(inputs, 1), weights
        start(self.linear.weight, torch.ones(1, 1), weights)

    def forward(self, S: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output and the kick. S: (batch, ...); the layer flattens it."""
        weight = held(self.linear.weight, torch.ones_like(self.linear.weight[:, :1]), self.weights)
        kick = weight.detach().expand(len(S), -1)
        return linear(S.flatten(1), weight, self.linear.bias), kick.reshape(S.shape).contiguous()


@final
class ConvolutionLayer(nn.Module):
    """A 3 x 3 convolution, rectified, with a sign per channel: (batch, inputs, h, w) -> (batch, outputs, h', w').

    h' = ceil(h / stride), and w' likewise. The layer also returns the kick, the gradient of the sum of its outputs with
    respect to its input. The kick is a transposed convolution of the signs of those units that are positive before the
    rectifier.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int = 1, *, signed: bool = False, weights: Weights = Weights.FREE
    ) -> None:
        super().__init__()
        self.convolution, self.stride = nn.Conv2d(inputs, outputs, 3), stride
        self.weights, self.signs = weights, nn.Buffer(unit_signs(outputs, signed))
        start(self.convolution.weight, self.signs[:, None, None, None], weights)

    def forward(self, S: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output and the kick. S: (batch, inputs, h, w)."""
        weight = held(self.convolution.weight, self.signs[:, None, None, None], self.weights)
        before = conv2d(S, weight, self.convolution.bias, self.stride, padding=1)
        signs = self.signs[:, None, None]
        # Several sizes of S have one size of output. This padding restores that of S; what no window covers is zero.
        forgotten = [(size - 1) % self.stride for size in S.shape[2:]]
        kick = conv_transpose2d(signs * (before > 0), weight.detach(), None, self.stride, 1, forgotten)
        return signs * torch.relu(before), kick


def unit_signs(units: int, signed: bool) -> Tensor:
    """Return the signs of a layer's units, (units,): +1 for each unit, or +1 and -1 alternating if `signed`."""
    signs = torch.ones(units)
    signs[1::2] = -1.0 if signed else 1.0
    return signs


@torch.no_grad()
def start(parameter: Tensor, signs: Tensor, weights: Weights) -> None:
    """Give the weights of a new layer the signs of their units, unless weights are free; `parameter` is changed in
    place.

    Weights of one sign add up over the inputs instead of cancelling, and the outputs would grow from layer to layer. So
    the weights are scaled: their sum over n inputs is about 1, not sqrt(n) / 2.
    """
    if weights is not Weights.FREE:
        inputs = parameter[0].numel()
        parameter.copy_(signs * parameter.abs() * (2 / inputs**0.5))


def held(parameter: Tensor, signs: Tensor, weights: Weights) -> Tensor:
    """Return the weights that a layer uses: sign times absolute value if signs must stay coherent, else `parameter`
    itself.
    """
    return signs * parameter.abs() if weights is Weights.COHERENT else parameter


@typed
def kicking_layers(
    example: Sequence[int],
    widths: Sequence[int],
    channels: Sequence[int] = (),
    *,
    signed: bool = False,
    weights: Weights = Weights.FREE,
) -> Mapping[str, Factory]:
    """Make a network for kickback as named layers, each a player: convolutions of stride 2, dense layers, one output.

    example: the shape of one example; (channels, height, width) if there are convolutions. The first layer's weights
    may always have any sign (`Weights.FREE`), because the kick of the first layer is not used.

    >>> list(kicking_layers((1, 8, 8), [32, 16], channels=[4]))
    ['Convolution1', 'Rectifier1', 'Rectifier2', 'Output']
    """
    layers: dict[str, Factory] = {}
    shape = list(example)
    for index, outputs in enumerate(channels, start=1):
        allowed = weights if layers else Weights.FREE
        layers[f"Convolution{index}"] = Factory.of(
            ConvolutionLayer, shape[0], outputs, 2, signed=signed, weights=allowed
        )
        shape = [outputs, *((size + 1) // 2 for size in shape[1:])]
    inputs = prod(shape)
    for index, width in enumerate(widths, start=1):
        allowed = weights if layers else Weights.FREE
        layers[f"Rectifier{index}"] = Factory.of(RectifierLayer, inputs, width, signed=signed, weights=allowed)
        inputs = width
    return {**layers, "Output": Factory.of(OutputLayer, inputs, weights=weights if layers else Weights.FREE)}
