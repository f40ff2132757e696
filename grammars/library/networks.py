"""Networks for the library's grammars: single layers, whole networks, and named layers as players."""

import itertools
from collections.abc import Mapping, Sequence
from math import prod
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from antiphon.grammars.factory import Factory
from antiphon.grammars.joined import Joined
from antiphon.grammars.numbers import Count, Image
from antiphon.grammars.typed import typed


@typed
@final
class Dense(nn.Sequential):
    """A dense layer for one player, max(0, W x + b), or another activation: (batch, inputs) -> (batch, outputs)."""

    def __init__(self, inputs: Count, outputs: Count, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__(nn.Linear(inputs, outputs), activation())


@final
class Convolution(nn.Module):
    """A 3 x 3 convolution that keeps the size, rectified: (batch, inputs, h, w) -> (batch, outputs, h, w)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the rectified convolution, (batch, outputs, h, w). x: (batch, inputs, h, w)."""
        return torch.relu(self.convolution(x))


@typed
@final
class Perceptron(nn.Sequential):
    """A feedforward network for one player: (batch, inputs) -> (batch, outputs), with rectifiers between its layers."""

    def __init__(self, inputs: Count, outputs: Count, widths: Sequence[Count] = (64, 64)) -> None:
        super().__init__(*rectified(inputs, outputs, widths))


def beside(x: Tensor, numbers: Sequence[float]) -> Tensor:
    """Return the numbers as a tensor with the dtype of x, on its device."""
    return torch.tensor(numbers, dtype=x.dtype).to(x.device)


@final
class Within(nn.Module):
    """A layer that maps each number into the interval of its dimension: (batch, width) -> (batch, width). Bounds may be
    infinite.

    For a dimension with two bounds it is a scaled tanh, with one bound a softplus, without bounds the identity.

    >>> Within((-1.0, 2.0, -torch.inf), (1.0, torch.inf, torch.inf))(torch.tensor([[50.0, -50.0, 7.0]])).tolist()
    [[1.0, 2.0, 7.0]]
    """

    def __init__(self, low: Sequence[float], high: Sequence[float]) -> None:
        super().__init__()
        self._low, self._high = tuple(low), tuple(high)

    def forward(self, x: Tensor) -> Tensor:
        """Return x, (batch, width), mapped into the intervals."""
        low, high = beside(x, self._low), beside(x, self._high)
        below, above = torch.isfinite(low), torch.isfinite(high)
        # Values that are not chosen must be finite too, because their gradient is multiplied by zero.
        floor, ceiling = low.where(below, 0.0), high.where(above, 0.0)
        between = (ceiling + floor) / 2 + (ceiling - floor) / 2 * torch.tanh(x)
        beyond = torch.where(below, floor + softplus(x), ceiling - softplus(-x))
        return torch.where(below & above, between, torch.where(below | above, beyond, x))


@typed
@final
class Policy(nn.Sequential):
    """A policy mu(s), (batch, state) -> (batch, action). Actions are within the bounds; without bounds, in (-1, 1)."""

    def __init__(
        self,
        state: Count,
        action: Count,
        widths: Sequence[Count] = (256, 256),
        low: Sequence[float] | None = None,
        high: Sequence[float] | None = None,
    ) -> None:
        last = nn.Tanh() if low is None or high is None else Within(low, high)
        super().__init__(*rectified(state, action, widths), last)


@typed
@final
class StateAction(Joined):
    """A function of state and action: (batch, state), (batch, action) -> (batch, outputs).

    A Critic has one output, a Deviator one per dimension of the action.
    """

    def __init__(self, state: Count, action: Count, outputs: Count = 1, widths: Sequence[Count] = (256, 256)) -> None:
        super().__init__(*rectified(state + action, outputs, widths))


@typed
def dense_layers(
    example: Sequence[Count],
    widths: Sequence[Count],
    classes: Count,
    dropout: float = 0.0,
    activation: type[nn.Module] = nn.ReLU,
) -> Mapping[str, Factory]:
    """Make a feedforward network as named layers, for examples of the shape `example`. It computes logits of `classes`
    classes.

    >>> list(dense_layers((1, 8, 8), [32], 10, dropout=0.5))
    ['Flatten', 'Dense1', 'Dropout1', 'Output']
    """
    layers = {} if len(example) == 1 else {"Flatten": Factory.of(nn.Flatten)}
    inputs = prod(example)
    for index, width in enumerate(widths, start=1):
        layers[f"Dense{index}"] = Factory.of(Dense, inputs, width, *([] if activation is nn.ReLU else [activation]))
        if dropout:
            layers[f"Dropout{index}"] = Factory.of(nn.Dropout, dropout)
        inputs = width
    return {**layers, "Output": Factory.of(nn.Linear, inputs, classes)}


@typed
def activated_layers(
    example: Sequence[Count], widths: Sequence[Count], classes: Count, activation: type[nn.Module] = nn.Tanh
) -> Mapping[str, Factory]:
    """Make a feedforward network as named layers, in which activations are layers without parameters.

    >>> list(activated_layers((1, 8, 8), [32], 10))
    ['Flatten', 'Dense1', 'Bend1', 'Output']
    """
    layers = {} if len(example) == 1 else {"Flatten": Factory.of(nn.Flatten)}
    for index, (inputs, outputs) in enumerate(itertools.pairwise([prod(example), *widths]), start=1):
        layers |= {f"Dense{index}": Factory.of(nn.Linear, inputs, outputs), f"Bend{index}": Factory.of(activation)}
    return {**layers, "Output": Factory.of(nn.Linear, [prod(example), *widths][-1], classes)}


@typed
def convolutional_layers(
    example: Image, channels: Sequence[Count], widths: Sequence[Count], classes: Count, dropout: float = 0.0
) -> Mapping[str, Factory]:
    """Make a convolutional network as named layers. Each convolution is followed by a max-pool that halves the image;
    dense layers come last.

    example: (channels, height, width), each size divisible by two for every convolution.

    >>> list(convolutional_layers((1, 8, 8), [4], [], 10))
    ['Convolution1', 'Pool1', 'Flatten', 'Output']
    """
    depth, height, width = example
    layers: dict[str, Factory] = {}
    for index, outputs in enumerate(channels, start=1):
        layers[f"Convolution{index}"] = Factory.of(Convolution, depth, outputs)
        layers[f"Pool{index}"] = Factory.of(nn.MaxPool2d, 2)
        depth, height, width = outputs, height // 2, width // 2
    return {**layers, **dense_layers((depth, height, width), widths, classes, dropout)}


def rectified(inputs: int, outputs: int, widths: Sequence[int], slope: float | None = None) -> list[nn.Module]:
    """Return linear layers with rectifiers between them, as a list of modules; leaky rectifiers if `slope` is given."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(inputs, width), nn.ReLU() if slope is None else nn.LeakyReLU(slope)]
        inputs = width
    return [*layers, nn.Linear(inputs, outputs)]
