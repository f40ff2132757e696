"""Estimate how much rounding changes a gradient, to set the scale for differences between response and gradient."""

import functools

import torch
from torch import Tensor

from antiphon.checks.recorded import RecordedRound, flat_gradient, is_inexact, with_parameters
from antiphon.grammars import PlayerLoss
from antiphon.grammars.reference import Composed
from antiphon.grammars.seeds import stream

JOLT = 1e-12
"""Relative size of random changes in float64: small enough for a linear effect, and far above rounding errors."""

JOLTS = 2

SMALLEST = 1e-200
"""Below this number float64 is near its smallest exponent, and products lose digits."""

EPSILON = torch.finfo(torch.float64).eps


def terms(round: RecordedRound, player: str, loss: PlayerLoss | None, gradient: Tensor) -> float:
    """Return the size of the terms that add up to a player's gradient: its largest number, or more if terms cancel.

    The sum of the absolute terms, |J|' |c| at every operator, is not available from automatic differentiation. So it is
    estimated. Rounding multiplies each term by 1 + e, with e about 1e-16. A random change multiplies every parameter,
    every value of Q and (by the chain rule) every message by 1 + e, with e about `JOLT`. It has the same effect on a
    larger scale. The change of the gradient divided by `JOLT` is about the root of the sum of the squared terms. If no
    terms cancel, this is as large as the gradient; if all cancel, as large as the terms. Only this player's gradient
    counts.
    """
    largest = float(gradient.abs().max()) if gradient.numel() else 0.0
    changes = [float((flat_gradient(each, player, loss) - gradient).abs().max()) for each in _jolted(round)]
    return largest + max(changes) / _size(gradient.dtype)


def resolved(round: RecordedRound, player: str, loss: PlayerLoss | None, size: float) -> bool:
    """Return whether a gradient of this size is visible in the loss in float64.

    It is visible if the loss changes by more than a rounding error when the parameters change by their own size (at
    least by 1).
    """
    parameters = round.composed.parameters(player)
    reach = max([1.0, *(float(each.detach().abs().max()) for each in parameters if each.numel())])
    return size > SMALLEST and size * reach > EPSILON * abs(float(round.composed.loss(loss).detach()))


@functools.lru_cache(maxsize=4)
def _jolted(round: RecordedRound) -> list[Composed]:
    """Compute Q of the round `JOLTS` times again, with small random changes of all values that depend on parameters."""
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
    """Return the relative size of random changes in this dtype: `JOLT`, times its epsilon over that of float64."""
    return JOLT * torch.finfo(dtype).eps / EPSILON
