"""The effect of rounding on a gradient: the scale for a difference between response and gradient."""

import functools

import torch
from torch import Tensor

from antiphon.checks.recorded import RecordedRound, flat_gradient, is_inexact, with_parameters
from antiphon.grammars import PlayerLoss
from antiphon.grammars.reference import Composed
from antiphon.grammars.seeds import stream

JOLT = 1e-12
"""Relative size of a random change: small enough for a linear effect, and far above rounding errors."""

JOLTS = 2

SMALLEST = 1e-200
"""Below this number float64 is near its smallest exponent, and products lose digits."""

EPSILON = torch.finfo(torch.float64).eps


def terms(round: RecordedRound, player: str, loss: PlayerLoss | None, gradient: Tensor) -> float:
    """The size of the terms that add up to a player's gradient: its largest number, or more where terms cancel.

    The sum of the absolute values of all terms is |J|' |c| at every operator, which automatic differentiation does not
    compute. But rounding multiplies each term by 1 + e, with e about 1e-16. Multiplying every parameter, every played
    value and (by the chain rule) every message between operators by 1 + e, with e about `JOLT`, has the same effect on
    a larger scale. The change of the gradient over `JOLT` is the root of the sum of the squares of its terms. If
    nothing cancels, it is as large as the gradient; if everything cancels, as large as what cancelled. Only this
    player's gradient counts.
    """
    largest = float(gradient.abs().max()) if gradient.numel() else 0.0
    changes = [float((flat_gradient(each, player, loss) - gradient).abs().max()) for each in _jolted(round)]
    return largest + max(changes) / _size(gradient.dtype)


def resolved(round: RecordedRound, player: str, loss: PlayerLoss | None, size: float) -> bool:
    """Whether a gradient of this size is visible in the loss in float64.

    It is visible if the loss changes by more than rounding when the parameters change by their own size (by 1 if
    smaller).
    """
    parameters = round.composed.parameters(player)
    reach = max([1.0, *(float(each.detach().abs().max()) for each in parameters if each.numel())])
    return size > SMALLEST and size * reach > EPSILON * abs(float(round.composed.loss(loss).detach()))


@functools.lru_cache(maxsize=4)
def _jolted(round: RecordedRound) -> list[Composed]:
    """The round composed again `JOLTS` times, with a small change of every number that depends on a parameter."""
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
    """Size of a random change in this dtype: `JOLT`, larger by as much as the dtype is coarser than float64."""
    return JOLT * torch.finfo(dtype).eps / EPSILON
