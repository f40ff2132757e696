"""Compares kickback's estimates with the true gradients, by example and unit: how often signs differ (essay, 2.5)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Feedback:
    """Factors of kickback and backpropagation for the output S of one layer, (batch, *units) each.

    kick: the factor with which kickback multiplies beta, the gradient of the loss with respect to the network's output.
    factor: that of backpropagation, d output / d S. open: bool, whether the unit is open on the example.
    """

    kick: Tensor
    factor: Tensor
    open: Tensor


@dataclass(frozen=True)
class SignCount:
    """Counts over pairs of an example and a unit that is open on it.

    pairs: all such pairs. opposite: those whose kick and factor have opposite signs. idle: those whose factor is zero
    and whose kick is not.
    """

    pairs: int
    opposite: int
    idle: int

    @property
    def rate(self) -> float:
        """The fraction of pairs with opposite signs."""
        return self.opposite / max(self.pairs, 1)


def feedback(layers: Sequence[nn.Module], x: Tensor) -> list[Feedback]:
    """Compute the `Feedback` of each layer of a network for kickback, in order, on a batch of examples.

    The factor is torch's derivative of the output. The kick is the one that the next layer plays. For the last layer
    both are 1. A unit is open if its output is not zero. Beta multiplies both factors, so the comparison needs no beta.
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
    """Count signs over all layers. found: from `feedback`. examples: (batch,) bool, those to count; None counts all."""
    kick, factor, open = (
        torch.cat([(value if examples is None else value[examples]).flatten() for value in values])
        for values in zip(*((each.kick, each.factor, each.open) for each in found), strict=True)
    )
    opposite, idle = kick * factor < 0, (kick != 0) & (factor == 0)
    return SignCount(int(open.sum()), int((opposite & open).sum()), int((idle & open).sum()))


def coherent(found: Sequence[Feedback]) -> Tensor:
    """Whether all kicks are positive, for each example, (batch,). This is the essay's premise; it is not sufficient."""
    return torch.stack([(each.kick.flatten(1) > 0).all(1) for each in found]).all(0)


def kick_error(layer: nn.Module, S: Tensor) -> float:
    """The error of a layer's kick at an input S, against torch's vector-Jacobian product with ones.

    layer: `forward(S) -> (S', kick)`. The error is relative to the largest number of the product, absolute if that is
    zero. Authors of new layers can test them: rounding leaves about 1e-15 in double precision, 1e-6 in single.
    """
    S = S.detach().requires_grad_()
    played, kick = layer(S)
    (product,) = torch.autograd.grad(played.sum(), S)
    return float((kick - product).abs().max() / (product.abs().max() or 1.0))
