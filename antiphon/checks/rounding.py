"""What rounding can do to a gradient: the scale that a difference between response and gradient is measured on."""

import functools

import torch
from torch import Tensor

from antiphon.checks.witness import States, Witnessed
from antiphon.grammars.guarantee import PlayerLoss
from antiphon.grammars.reference import Composed, compose
from antiphon.grammars.seeds import stream

JOLT = 1e-12
"""Relative size of a jolt: small enough to be linear, and far above rounding itself."""

JOLTS = 2

SMALLEST = 1e-200
"""Below it float64 is about to run out of exponents, and products lose digits."""

EPSILON = torch.finfo(torch.float64).eps


def terms(round: Witnessed, player: str, loss: PlayerLoss | None, gradient: Tensor) -> float:
    """The size of the terms that make up a player's gradient: at least its largest number, more where terms cancel.

    The sum of the absolute values of all terms is |J|' |c| at every operator, which automatic differentiation does not
    compute. But rounding multiplies each term by 1 + e; so does a jolt of every parameter, every played value and (by
    the chain rule) every message between operators, with e of `JOLT` instead of 1e-16. The change of the gradient, over
    `JOLT`, is the root of the sum of the squares of its terms. Where nothing cancels that is as large as the gradient.
    Where all cancels it is as large as what cancelled. It is of this player alone: nobody else's gradient counts.
    """
    largest = float(gradient.abs().max()) if gradient.numel() else 0.0
    changes = [float((_flat(each, player, loss) - gradient).abs().max()) for each in _jolted(round)]
    return largest + max(changes) / JOLT


def resolved(round: Witnessed, player: str, loss: PlayerLoss | None, size: float) -> bool:
    """Whether float64 can show in the loss what a gradient of this size does when its parameters change by their own
    size (by one, where they are smaller)."""
    parameters = round.composed.parameters(player)
    reach = max([1.0, *(float(each.detach().abs().max()) for each in parameters if each.numel())])
    return size > SMALLEST and size * reach > EPSILON * abs(float(round.composed.loss(loss).detach()))


@functools.lru_cache(maxsize=4)
def _jolted(round: Witnessed) -> list[Composed]:
    """The round composed again, every number that depends on a parameter off by a little."""
    composed, found = round.composed, list[Composed]()
    played = {port: value.detach() for port, value in composed.values.items()}
    for number in range(JOLTS):
        draw = torch.Generator().manual_seed(stream(round.seed, "jolt", str(number)))
        jolt = functools.partial(_jolt, draw=draw)
        states = _jolted_states(composed, round.before, draw)
        found.append(compose(composed.grammar, states, round.seed, round.number, played, jolt))
    return found


def _jolted_states(composed: Composed, states: States, draw: torch.Generator) -> States:
    found = dict(states)
    for player in composed.grammar.query.players:
        own = states[player.name]
        moved = {name: _jolt(each, draw) for name, each in own["parameters"].items()}
        found[player.name] = {**own, "parameters": moved}
    return found


def _jolt(value: Tensor, draw: torch.Generator) -> Tensor:
    if not (value.is_floating_point() or value.is_complex()):
        return value
    return value * (1 + JOLT * torch.randn(value.shape, generator=draw, dtype=torch.float64))


def _flat(composed: Composed, player: str, loss: PlayerLoss | None) -> Tensor:
    return torch.cat([each.reshape(-1) for each in composed.gradient(player, loss)])
