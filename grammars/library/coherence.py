"""Compares kickback's estimated gradients with the true gradients, by example and unit: how often their signs differ
(essay, 2.5).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Feedback:
    """Factors of kickback and backpropagation for the output S of one layer, (batch, *units) each.

    Both methods multiply their factor with beta, the gradient of the loss with respect to the network's output, and get
    a gradient with respect to S. kick: kickback's factor, which gives an estimate. factor: backpropagation's factor,
    the derivative of the network's output with respect to S. open: bool, whether the unit's output is not zero on the
    example.
    """

    kick: Tensor
    factor: Tensor
    open: Tensor


@dataclass(frozen=True)
class SignCount:
    """Counts of wrong signs in kickback, over pairs of an example and a unit whose output is not zero on that example.

    pairs: all such pairs. opposite: those where the factors of kickback and backpropagation have opposite signs. idle:
    those where backpropagation's factor is zero and kickback's is not.
    """

    pairs: int
    opposite: int
    idle: int

    @property
    def rate(self) -> float:
        """The fraction of pairs in which kickback and backpropagation have opposite signs."""
        return self.opposite / max(self.pairs, 1)


def feedback(layers: Sequence[nn.Module], x: Tensor) -> list[Feedback]:
    """Compute the factors of kickback and of backpropagation for each layer of a network, in order, on a batch of
    examples.

    Backpropagation's factor is torch's derivative of the network's output. Kickback's factor is the kick that the next
    layer returns. For the last layer both are 1. A unit is open if its output is not zero. Both methods multiply the
    factor with the same gradient of the loss, so the comparison does not need it.
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
    """Count how often kickback and backpropagation have opposite signs, over all layers.

    found: the result of `feedback`. examples: (batch,) bool, the examples to count; None counts all.
    """
    kick, factor, open = (
        torch.cat([(value if examples is None else value[examples]).flatten() for value in values])
        for values in zip(*((each.kick, each.factor, each.open) for each in found), strict=True)
    )
    opposite, idle = kick * factor < 0, (kick != 0) & (factor == 0)
    return SignCount(int(open.sum()), int((opposite & open).sum()), int((idle & open).sum()))


def coherent(found: Sequence[Feedback]) -> Tensor:
    """Whether all of kickback's factors (kicks) are positive, for each example, (batch,).

    This is the essay's premise for correct signs. The premise is not sufficient.
    """
    return torch.stack([(each.kick.flatten(1) > 0).all(1) for each in found]).all(0)


def kick_error(layer: nn.Module, S: Tensor) -> float:
    """Return the error of a layer's kick at an input S, compared with torch's vector-Jacobian product of ones.

    layer: a module with `forward(S) -> (S', kick)`; the kick should be the gradient of the sum of S' with respect to S.
    The error is relative to the largest number of the product, absolute if that is zero. Authors of new layers can test
    them: rounding leaves about 1e-15 in double precision, 1e-6 in single.
    """
    S = S.detach().requires_grad_()
    played, kick = layer(S)
    (product,) = torch.autograd.grad(played.sum(), S)
    return float((kick - product).abs().max() / (product.abs().max() or 1.0))
