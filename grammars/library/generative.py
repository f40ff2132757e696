"""Networks for variational autoencoders and GANs (Grammars 2 and 3), dense and convolutional.

Two more modules make a network an Encoder or a Decoder.
"""

from collections.abc import Sequence
from math import prod
from typing import final

import torch
from torch import Tensor, nn

from antiphon.grammars.factory import Factory
from antiphon.grammars.inference import made_for, make_module
from antiphon.grammars.library.networks import rectified
from antiphon.grammars.numbers import Count, Image, Some
from antiphon.grammars.typed import typed


@typed
@final
class DenseAnalysis(nn.Sequential):
    """A network from an example to numbers, for a Curator or an Encoder: (batch, *example) -> (batch, outputs)."""

    def __init__(self, example: Sequence[Count], outputs: Count, widths: Sequence[Count], slope: float = 0.0) -> None:
        super().__init__(nn.Flatten(), *rectified(prod(example), outputs, widths, slope))


@typed
@final
class DenseSynthesis(nn.Sequential):
    """A network from numbers to an example: (batch, latent) -> (batch, *example).

    It returns logits, or numbers in (0, 1) if `squashed`.
    """

    def __init__(
        self, latent: Count, example: Sequence[Count], widths: Sequence[Count], squashed: bool = False
    ) -> None:
        layers = [*rectified(latent, prod(example), widths, 0.0), nn.Unflatten(1, tuple(example))]
        super().__init__(*layers, *([nn.Sigmoid()] if squashed else []))


@typed
@final
class ConvolutionalAnalysis(nn.Sequential):
    """A convolutional network from an image to numbers: (batch, c, h, w) -> (batch, outputs).

    Each convolution has stride 2 and halves h and w. image: (c, h, w); for n convolutions, h and w must be divisible by
    2^n.
    """

    def __init__(self, image: Image, outputs: Count, channels: Sequence[Count], slope: float = 0.0) -> None:
        depth, height, width = image
        layers: list[nn.Module] = []
        for after in channels:
            layers += [nn.Conv2d(depth, after, 4, 2, 1), nn.LeakyReLU(slope)]
            depth, height, width = after, height // 2, width // 2
        super().__init__(*layers, nn.Flatten(), nn.Linear(depth * height * width, outputs))


@typed
@final
class ConvolutionalSynthesis(nn.Sequential):
    """A convolutional network from numbers to an image: (batch, latent) -> (batch, c, h, w).

    Each transposed convolution doubles h and w. channels: number of channels of each image, the smallest image first.
    image: (c, h, w); for n convolutions, h and w must be divisible by 2^n. The network returns logits, or numbers in
    (0, 1) if `squashed`.
    """

    def __init__(self, latent: Count, image: Image, channels: Some, squashed: bool = False) -> None:
        depth, height, width = image
        coarse = (channels[0], height >> len(channels), width >> len(channels))
        layers: list[nn.Module] = [nn.Linear(latent, prod(coarse)), nn.ReLU(), nn.Unflatten(1, coarse)]
        for before, after in zip(channels, (*channels[1:], depth), strict=True):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.ReLU()]
        super().__init__(*layers[:-1], *([nn.Sigmoid()] if squashed else []))


@typed
@final
class Reparametrized(nn.Module):
    """An Encoder that computes z = m(x) + s(x) eps from data x and noise eps (essay, section 2.2).

    network: makes the module that maps x to m and log s, concatenated, (batch, ...) -> (batch, 2 latent).
    """

    def __init__(self, network: Factory) -> None:
        super().__init__()
        self.network = made_for(f"the network of {type(self).__name__}", make_module, network)

    def forward(self, eps: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return z = m(x) + s(x) eps, (batch, latent), and log |det dz/deps|, which is the sum of log s(x), (batch,).

        The network computes m and log s from x. eps: (batch, latent). x: (batch, ...).
        """
        mean, log_scale = self.network(x).chunk(2, dim=1)
        return mean + log_scale.exp() * eps, log_scale.sum(1)


@typed
@final
class Isotropic(nn.Module):
    """A Decoder with Gaussian output: a network returns the mean of x, and all numbers of x share one learned scale.

    network: a factory of the module that maps z to the mean of x, (batch, latent) -> (batch, ...). The likelihood to
    use with this Decoder is `antiphon.grammars.variational.isotropic`.
    """

    def __init__(self, network: Factory) -> None:
        super().__init__()
        self.network = made_for(f"the network of {type(self).__name__}", make_module, network)
        first = next(self.network.parameters(), torch.empty(()))
        self.log_scale = nn.Parameter(first.new_zeros(()))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean of x, (batch, ...), and log s, the log of the scale, (batch,). z: (batch, latent)."""
        return self.network(z), self.log_scale.expand(len(z))
