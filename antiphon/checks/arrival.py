"""Definition 8, measured: with small steps the players come to rest, and none of them can do better alone."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from antiphon.checks.instance import Instance, flat_gradient
from antiphon.checks.measured import IDLE, Measured
from antiphon.checks.witness import States, Witnessed
from antiphon.grammars.guarantee import UNKNOWN, Arrives, PlayerLoss
from antiphon.grammars.oracle import State
from antiphon.grammars.reference import compose

TRIES = 25
"""Iterations of L-BFGS that a player gets to do better alone."""

NUDGE = 1e-3
"""How far beside its parameters a player tries once more, relative to one plus their size."""


def measure_arrival(promise: Arrives, instance: Instance, players: Sequence[str]) -> list[Measured]:
    """Per player the larger of what is left of the gradient of its loss, and its gain alone over its gain in play."""
    states = instance.learned_by(None)
    before, after = instance.rounds(promise.draws), instance.rounds_after(states, promise.draws)
    return [_arrival(promise, instance, player, states, before, after) for player in players]


def _arrival(
    promise: Arrives,
    instance: Instance,
    player: str,
    states: States,
    before: Sequence[Witnessed],
    after: Sequence[Witnessed],
) -> Measured:
    loss = instance.grammar.guarantee.loss_of(player)
    if loss == UNKNOWN:
        return Measured(player, 0.0, promise.tolerance, skipped="its loss is not known for these modules")
    start, rest = _gradient(before, player, loss), _gradient(after, player, loss)
    left = rest / start if start != 0 else float(rest != 0)
    gained = _loss(before, loss) - _loss(after, loss)
    alone = _gain_alone(instance, player, loss, states, after)
    gain = alone / max(abs(gained), 0.01 * abs(_loss(after, loss)), 1e-12)
    detail = f"gradient {start:.2g} -> {rest:.2g}, loss {_loss(before, loss):.4g} -> {_loss(after, loss):.4g}, "
    detail += f"alone {alone:.2g} lower"
    idle = IDLE if start == rest == 0 and gain <= promise.tolerance else ""
    value = left + gain if math.isnan(left + gain) else max(left, gain)  # a maximum would forget what is no number
    return Measured(player, value, promise.tolerance, player, detail, idle)


def _gradient(rounds: Sequence[Witnessed], player: str, loss: PlayerLoss | None) -> float:
    return float(torch.stack([flat_gradient(round.composed, player, loss) for round in rounds]).mean(0).norm())


def _loss(rounds: Sequence[Witnessed], loss: PlayerLoss | None) -> float:
    return sum(float(round.composed.loss(loss).detach()) for round in rounds) / len(rounds)


def _gain_alone(
    instance: Instance, player: str, loss: PlayerLoss | None, states: States, rounds: Sequence[Witnessed]
) -> float:
    """By how much L-BFGS brings the player's loss down on the same draws, everybody else held still.

    It begins where the player is, and once more a little beside: at the top of a hill there is no gradient
    either. What the little itself has gained or lost does not count.
    """
    return max(_descended(instance, player, loss, states, rounds, nudge) for nudge in (0.0, NUDGE))


def _descended(
    instance: Instance,
    player: str,
    loss: PlayerLoss | None,
    states: States,
    rounds: Sequence[Witnessed],
    nudge: float,
) -> float:
    names = [each.name for each in instance.grammar.query.player_by_name[player].parameters]
    saved: State = states[player]["parameters"]
    generator = torch.Generator().manual_seed(instance.seed)
    moving = [_beside(saved[name], nudge, generator).requires_grad_() for name in names]
    optimizer = torch.optim.LBFGS(moving, max_iter=TRIES, line_search_fn="strong_wolfe")
    start = best = _loss(rounds, loss)
    first = True

    def closure() -> Tensor:
        nonlocal best, start, first
        parameters = {**saved, **{name: each.detach() for name, each in zip(names, moving, strict=True)}}
        moved = {**states, player: {**states[player], "parameters": parameters}}
        total, gradients = torch.zeros((), dtype=torch.float64), [torch.zeros_like(each) for each in moving]
        for round in rounds:
            played = {port: value.detach() for port, value in round.composed.values.items()}
            composed = compose(instance.grammar, moved, instance.seed, round.number, played)
            total = total + composed.loss(loss).detach() / len(rounds)
            told = composed.gradient(player, loss)
            gradients = [one + two / len(rounds) for one, two in zip(gradients, told, strict=True)]
        for each, gradient in zip(moving, gradients, strict=True):
            each.grad = gradient
        best = min(best, float(total))
        if first:
            start, first = best, False
        return total

    optimizer.step(closure)
    return start - best


def _beside(parameter: Tensor, nudge: float, generator: torch.Generator) -> Tensor:
    step = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return parameter + nudge * (1 + parameter.abs()) * step
