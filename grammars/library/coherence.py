"""Kickback's estimates beside the true gradients, per example and unit: how often a sign is opposite (essay, 2.5)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Feedback:
    """What is said of one layer's output: both (batch, *units), and which units are open, on which examples.

    kick: what kickback multiplies beta with. factor: d output / d S, what backpropagation multiplies it with.
    """

    kick: Tensor
    factor: Tensor
    open: Tensor


@dataclass(frozen=True)
class SignCount:
    """Over pairs of an example and a unit that is open on it: how many there are, and of how many the signs differ.

    opposite: kick and factor are of opposite sign. idle: the kick is not zero, and the factor is.
    """

    pairs: int
    opposite: int
    idle: int

    @property
    def rate(self) -> float:
        """The part of all pairs whose signs are opposite."""
        return self.opposite / max(self.pairs, 1)


def feedback(layers: Sequence[nn.Module], x: Tensor) -> list[Feedback]:
    """Of each layer of a network for kickback, in order, on a batch of examples.

    The factor is torch's derivative of the output, the kick is what the next layer played; both are 1 of the last.
    A unit is open where its output is not zero. Beta stands in both products, so it changes no comparison of them.
    """
    signal, outputs, kicks = x, list[Tensor](), list[Tensor]()
    for layer in layers:
        signal, kick = layer(signal)
        outputs.append(signal)
        kicks.append(kick)
    kicks = [*kicks[1:], torch.ones_like(signal)]
    factors = torch.autograd.grad(signal.sum(), outputs)
    last = len(outputs) - 1
    return [
        Feedback(
            kick.detach(), factor, torch.ones_like(played, dtype=torch.bool) if i == last else played.detach() != 0
        )
        for i, (kick, factor, played) in enumerate(zip(kicks, factors, outputs, strict=True))
    ]


def count_signs(found: Sequence[Feedback], examples: Tensor | None = None) -> SignCount:
    """Over all layers of `feedback`, or over those examples only where `examples`, (batch,) bool, is true."""
    kick, factor, open = (
        torch.cat([(value if examples is None else value[examples]).flatten() for value in values])
        for values in zip(*((each.kick, each.factor, each.open) for each in found), strict=True)
    )
    opposite, idle = kick * factor < 0, (kick != 0) & (factor == 0)
    return SignCount(int(open.sum()), int((opposite & open).sum()), int((idle & open).sum()))


def coherent(found: Sequence[Feedback]) -> Tensor:
    """The examples, (batch,) bool, on which every unit's kick is positive: the essay's premise, which is not enough."""
    return torch.stack([(each.kick.flatten(1) > 0).all(1) for each in found]).all(0)


def kick_error(layer: nn.Module, S: Tensor) -> float:
    """How far a layer's kick is from what it is to be: torch's product of the layer with ones, at an input S.

    layer: `forward(S) -> (S', kick)`. Relative to the largest number of the product, absolute where all are zero. For
    whoever writes a layer of their own; rounding leaves about 1e-15 of it in double precision, 1e-6 in single.
    """
    S = S.detach().requires_grad_()
    played, kick = layer(S)
    (product,) = torch.autograd.grad(played.sum(), S)
    return float((kick - product).abs().max() / (product.abs().max() or 1.0))
