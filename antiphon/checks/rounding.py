"""Estimate how much rounding errors change a gradient. A response may differ from the gradient by about as much."""

import functools

import torch
from torch import Tensor

from antiphon.checks.recorded import RecordedRound, flat_gradient, is_inexact, with_parameters
from antiphon.grammars import Loss
from antiphon.grammars.reference import Composed
from antiphon.grammars.seeds import stream

JOLT = 1e-12
"""Relative size of the random changes that imitate rounding errors in float64.

It is small enough for a linear effect, and far above real rounding errors.
"""

JOLTS = 2

SMALLEST = 1e-200
"""Below this number, products of float64 numbers lose digits, because the smallest exponent is near."""

EPSILON = torch.finfo(torch.float64).eps


def terms(round: RecordedRound, player: str, loss: Loss | None, gradient: Tensor) -> float:
    """Estimate the size of the terms that add up to a player's gradient.

    The size is the largest number of the gradient, or more if positive and negative terms cancel each other. The error
    of a gradient by rounding is proportional to this size, and not to the gradient.

    The exact size, the sum of the absolute terms, is not available from automatic differentiation. So it is estimated.
    Rounding multiplies each term by 1 + e, with e about 1e-16. This function multiplies every parameter and every value
    of the Query graph by 1 + e, with a random e of about `JOLT`; this has the same effect on a larger scale. The change
    of the gradient divided by `JOLT` is about the root of the sum of the squared terms.

    gradient: the player's gradient of the loss, as one vector. Returns the size as one number.
    """
    largest = float(gradient.abs().max()) if gradient.numel() else 0.0
    changes = [float((flat_gradient(each, player, loss) - gradient).abs().max()) for each in _jolted(round)]
    return largest + max(changes) / _size(gradient.dtype)


def resolved(round: RecordedRound, player: str, loss: Loss | None, size: float) -> bool:
    """Return whether a gradient of the given size is large enough to change the player's loss in float64.

    It is large enough if the loss changes by more than a rounding error when the player's parameters change by their
    own size (at least by 1).
    """
    parameters = round.composed.parameters(player)
    reach = max([1.0, *(float(each.detach().abs().max()) for each in parameters if each.numel())])
    return size > SMALLEST and size * reach > EPSILON * abs(float(round.composed.loss(loss).detach()))


@functools.lru_cache(maxsize=4)
def _jolted(round: RecordedRound) -> list[Composed]:
    """Compute the Query graph of a round again, `JOLTS` times, with small random changes.

    All parameters, and all values that depend on parameters, are changed.
    """
    composed, found = round.composed, list[Composed]()
    for number in range(JOLTS):
        draw = torch.Generator().manual_seed(stream(round.seed, "jolt", str(number)))
        jolt = functools.partial(_jolt, draw=draw)
        states = round.before
        for player in composed.grammar.query.players:
            own = states[player.name]["parameters"].items()
            states = with_parameters(states, player.name, {name: jolt(each) for name, each in own})
        found.append(round.recomposed(states, jolt))
    return found


def _jolt(value: Tensor, draw: torch.Generator) -> Tensor:
    if not is_inexact(value):
        return value
    drawn = torch.randn(value.shape, generator=draw, dtype=torch.float64)
    return (value * (1 + _size(value.dtype) * drawn)).to(value.dtype)


def _size(dtype: torch.dtype) -> float:
    """Return the relative size of the random changes that imitate rounding errors in a dtype (`JOLT` in float64)."""
    return JOLT * torch.finfo(dtype).eps / EPSILON
