"""A network that turns observations with pictures into features, as a player of its own."""

from collections.abc import Sequence
from math import prod
from typing import final

import torch
from torch import Tensor, nn

from antiphon.errors import GrammarError
from antiphon.grammars.numbers import Count, Positive, Some
from antiphon.grammars.typed import typed


@typed
@final
class Encoder(nn.Module):
    """Turns flat observations into features: (batch, numbers) -> (batch, outputs).

    parts: the shape of each part of an observation, in the order of the flat vector (see `Spaces.parts`). A part with
    two or three dimensions is a picture. It passes 3 x 3 convolutions with stride 2, one for each item of `channels`.
    Then a dense layer with `features` outputs follows, a layer norm and tanh. All other parts are passed on unchanged.
    largest: the numbers of a picture are divided by it. outputs: the number of features of all parts.
    """

    def __init__(
        self,
        parts: Sequence[Some],
        channels: Some = (32, 32, 32),
        features: Count = 50,
        largest: Positive = 255.0,
    ) -> None:
        super().__init__()
        if not any(len(shape) > 1 for shape in parts):
            raise GrammarError(
                f"Encoder was given parts of the shapes {list(map(tuple, parts))}; expected a picture, a part with two "
                "or three dimensions. Leave Encoder out."
            )
        self._parts, self._largest = [tuple(shape) for shape in parts], largest
        self.pictures = nn.ModuleList(
            _convolutional(shape, channels, features) for shape in self._parts if len(shape) > 1
        )
        self.outputs = sum(features if len(shape) > 1 else prod(shape) for shape in self._parts)

    def forward(self, observed: Tensor) -> Tensor:
        """Return the features, (batch, outputs). observed: flat observations, (batch, numbers)."""
        found, pictures = [], iter(self.pictures)
        for shape, part in zip(self._parts, observed.split([prod(each) for each in self._parts], 1), strict=True):
            found.append(next(pictures)(_channels_first(part, shape) / self._largest) if len(shape) > 1 else part)
        return torch.cat(found, 1)


def _channels_first(part: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return pictures as (batch, channels, height, width). The smallest dimension of three is that of the channels."""
    pictures = part.unflatten(1, shape)
    return pictures.unsqueeze(1) if len(shape) == 2 else pictures.movedim(1 + _channel(shape), 1)


def _channel(shape: tuple[int, ...]) -> int:
    return min((0, 2), key=lambda index: shape[index])


def _convolutional(shape: tuple[int, ...], channels: Sequence[int], features: int) -> nn.Sequential:
    if len(shape) > 3:
        raise GrammarError(
            f"Encoder was given a part of shape {shape}; expected at most three dimensions: height, width, channels. "
            "Wrap the environment so that it observes pictures."
        )
    inputs = 1 if len(shape) == 2 else shape[_channel(shape)]
    sizes = shape if len(shape) == 2 else [size for index, size in enumerate(shape) if index != _channel(shape)]
    layers: list[nn.Module] = []
    for outputs in channels:
        layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU()]
        inputs, sizes = outputs, [-(-size // 2) for size in sizes]
    head = [nn.Flatten(), nn.Linear(inputs * prod(sizes), features), nn.LayerNorm(features), nn.Tanh()]
    return nn.Sequential(*layers, *head)
