"""Measure promises about the end of learning: `Arrives` and `Aligns`.

`Arrives` (essay, Definition 8): no player can lower its own loss alone. `Aligns`: responses point along gradients.
"""

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.checks.instance import Instance
from antiphon.checks.measured import DIVERGED, IDLE, Measured
from antiphon.checks.recorded import RecordedRound, States, flat_gradient, with_parameters
from antiphon.checks.signs import angle
from antiphon.grammars import UNKNOWN, Aligns, Arrives, Loss, State

TRIES = 25
"""Largest number of L-BFGS iterations when one player's loss is minimised with all other players fixed."""

NUDGE = 1e-3
"""L-BFGS runs a second time from changed parameters. Size of a parameter's change, relative to 1 + |parameter|."""


def measure_arrival(promise: Arrives, instance: Instance, players: Sequence[str]) -> list[Measured]:
    """Let all players learn, then measure for each player whether it is at a minimum of its own loss.

    The measured value of a player is the larger of two ratios. The first ratio is the norm of the player's gradient
    after learning divided by its norm before learning. For the second ratio, L-BFGS minimises the player's loss further
    with all other players fixed: it is the decrease by L-BFGS divided by the decrease during learning.
    """
    places = instance.places
    states = places.learned_by(None)
    if diverged := places.diverged(states):
        return [Measured(player, math.nan, promise.tolerance, diverged, DIVERGED) for player in players]
    before, after = places.rounds(promise.draws), places.rounds_after(states, promise.draws)
    return [_arrival(promise, instance, player, states, before, after) for player in players]


def measure_alignment(promise: Aligns, instance: Instance, players: Sequence[str]) -> list[Measured]:
    """Let all players learn. Then measure the angle between each response and the gradient, in degrees."""
    places = instance.places
    states = places.learned_by(None)
    if diverged := places.diverged(states):
        return [Measured(player, math.nan, promise.degrees, diverged, DIVERGED) for player in players]
    (before,), (after,) = places.rounds(), places.rounds_after(states)
    rounds = instance.learning.rounds
    return [_alignment(promise, player, before, after, rounds) for player in players]


def _alignment(promise: Aligns, player: str, before: RecordedRound, after: RecordedRound, rounds: int) -> Measured:
    began, ended = (_degrees(round, player, promise.loss) for round in (before, after))
    detail = f"{began:.3g} degrees before {rounds} rounds"
    return Measured(player, ended, promise.degrees, player, detail, IDLE if math.isnan(ended) else "")


def _degrees(round: RecordedRound, player: str, loss: Loss | None) -> float:
    """Return the angle between a player's response and its gradient; 180 if only the response is zero.

    Returns NaN if the gradient is zero.
    """
    gradient, told = flat_gradient(round.composed, player, loss), round.responses[player]
    if not bool(gradient.any()):
        return math.nan
    return angle(told, gradient) if bool(told.any()) else 180.0


def _arrival(
    promise: Arrives,
    instance: Instance,
    player: str,
    states: States,
    before: Sequence[RecordedRound],
    after: Sequence[RecordedRound],
) -> Measured:
    loss = instance.grammar.loss_of(player)
    if loss == UNKNOWN:
        return Measured(player, 0.0, promise.tolerance, skipped="its loss is not known for these modules")
    start, rest = _gradient(before, player, loss), _gradient(after, player, loss)
    left = rest / start if start != 0 else float(rest != 0)
    gained = _loss(before, loss) - _loss(after, loss)
    alone = _OwnLoss(instance, player, loss, states, after).gain()
    gain = alone / max(abs(gained), 0.01 * abs(_loss(after, loss)), 1e-12)
    detail = f"gradient {start:.2g} -> {rest:.2g}, loss {_loss(before, loss):.4g} -> {_loss(after, loss):.4g}, "
    detail += f"alone {alone:.2g} lower"
    idle = IDLE if start == rest == 0 and gain <= promise.tolerance else ""
    value = left + gain if math.isnan(left + gain) else max(left, gain)  # max() may drop a NaN
    return Measured(player, value, promise.tolerance, player, detail, idle)


def _gradient(rounds: Sequence[RecordedRound], player: str, loss: Loss | None) -> float:
    return float(torch.stack([flat_gradient(round.composed, player, loss) for round in rounds]).mean(0).norm())


def _loss(rounds: Sequence[RecordedRound], loss: Loss | None) -> float:
    return sum(float(round.composed.loss(loss).detach()) for round in rounds) / len(rounds)


@final
class _OwnLoss:
    """The loss of one player as a function of its parameters, with all other players fixed; a mean over `rounds`."""

    def __init__(
        self,
        instance: Instance,
        player: str,
        loss: Loss | None,
        states: States,
        rounds: Sequence[RecordedRound],
    ) -> None:
        self._instance, self._player, self._loss, self._states, self._rounds = instance, player, loss, states, rounds
        self._names = [each.name for each in instance.grammar.query.player_by_name[player].parameters]
        saved: State = states[player]["parameters"]
        self._resting = [saved[name] for name in self._names]

    def gain(self) -> float:
        """Return by how much L-BFGS lowers the player's loss below its value after learning.

        The first run of L-BFGS starts at the player's parameters after learning. They may be a maximum of the loss,
        where the gradient is zero. So a second run starts at slightly changed parameters, and the larger decrease is
        returned. The second run is skipped if the gradient at the changed parameters leads back to the first start: the
        loss may then be lower only because of detached values, which change without a gradient.
        """
        gain, beside = self._descended(self._resting), self._beside()
        slopes = self._gradient(beside)[1]
        steps = zip(self._resting, beside, slopes, strict=True)
        away = sum(float(((there - here) * slope).sum()) for here, there, slope in steps)
        return max(gain, self._descended(beside)) if away < 0 else gain

    def _beside(self) -> list[Tensor]:
        """Return the player's parameters after learning, plus a small random change."""
        generator = torch.Generator().manual_seed(self._instance.seed)
        draws = [torch.randn(each.shape, generator=generator, dtype=each.dtype) for each in self._resting]
        return [each + NUDGE * (1 + each.abs()) * step for each, step in zip(self._resting, draws, strict=True)]

    def _gradient(self, parameters: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return the player's loss at the given parameters, and the gradient there; both are means over the rounds."""
        moved = with_parameters(self._states, self._player, dict(zip(self._names, parameters, strict=True)))
        composed = [round.recomposed(moved) for round in self._rounds]
        told = zip(*(each.gradient(self._player, self._loss) for each in composed), strict=True)
        total = torch.stack([each.loss(self._loss).detach() for each in composed]).mean()
        return total, [torch.stack(each).mean(0) for each in told]

    def _descended(self, start: Sequence[Tensor]) -> float:
        """Minimise the player's loss by L-BFGS, starting at the parameters `start`.

        Returns the loss after learning minus the lowest loss that L-BFGS finds: 0 or more, or NaN.
        """
        moving = [each.clone().requires_grad_() for each in start]
        optimizer = torch.optim.LBFGS(moving, max_iter=TRIES, line_search_fn="strong_wolfe")
        rest = best = float(self._gradient(self._resting)[0])

        def closure() -> Tensor:
            nonlocal best
            total, gradients = self._gradient([each.detach() for each in moving])
            for each, gradient in zip(moving, gradients, strict=True):
                each.grad = gradient
            best = min(best, float(total))
            return total

        optimizer.step(closure)
        return rest - best
