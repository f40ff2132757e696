"""A learner without swap regret: a Hedge for each action, whose advice is combined by a stationary distribution.

Blum and Mansour (2007), From external to internal regret, Journal of Machine Learning Research 8.
"""

import math
from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.agents.heard import Heard
from antiphon.agents.rate import Rate
from antiphon.grammars.domains import Simplex, refuse_outside
from antiphon.grammars.numbers import Count, Positive
from antiphon.grammars.oracle import State
from antiphon.grammars.regret import external_and_swap
from antiphon.grammars.typed import typed

LEAST = 1e-30
"""Smallest probability of an advice, so that the stationary distribution is unique."""


@typed
@final
class SwapRegret:
    """Plays p = p Q, where row i of Q is the advice of a Hedge that pays p_i times each loss.

    The swap regret compares what was paid with the best function from actions to actions: each time that action i was
    played, the function's action would have been played instead.

    The parameters are distributions over actions, along the last dimension of each tensor. The response is the loss of
    each action. lr: the learning rate; None takes sqrt(8 n log(n) / T) / loss_range for n actions, where T is
    `horizon`, or the number of the round if there is none. loss_range: the largest loss minus the smallest one.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        horizon: Count | None = None,
        lr: Positive | None = None,
        loss_range: Positive = 1.0,
    ) -> None:
        refuse_outside("SwapRegret", Simplex(), parameters, "Let the player play a distribution, as MixedStrategy.")
        self._parameters, self._rate, self._heard = parameters, Rate(horizon, lr, loss_range), Heard()
        self._start = [each.detach().to(torch.float64, copy=True) for each in parameters]
        # paid[i, j]: the sum over rounds of p_i times the loss of action j
        self._paid = [each[..., :, None] * torch.zeros_like(each)[..., None, :] for each in self._start]

    def hear(self, response: Sequence[Tensor]) -> None:
        """Add the response to those received since the last move."""
        self._heard.add(response)

    @torch.no_grad()
    def move(self) -> Sequence[Tensor]:
        """Update the distributions in place, and return them."""
        losses = self._heard.take()
        self._rate.add(losses)
        for parameter, start, paid, loss in zip(self._parameters, self._start, self._paid, losses, strict=True):
            paid += parameter.double()[..., :, None] * loss.double()[..., None, :]
            actions = parameter.shape[-1]
            advice = torch.softmax(start.log()[..., None, :] - self._rate.next(actions, actions) * paid, -1)
            parameter.copy_(stationary(advice))
        return self._parameters

    def report(self) -> Mapping[str, float]:
        """Return the regret against the best fixed actions, the swap regret, and the bound on the swap regret, which
        is sqrt(T n log(n) / 2) if T is the horizon and losses are in [0, 1].
        """
        fixed, swapped = map(sum, zip(*map(external_and_swap, self._paid), strict=True))
        return {"regret": fixed, "swap_regret": swapped, "swap_bound": sum(map(self._bound, self._start))}

    def _bound(self, start: Tensor) -> float:
        actions, least = start.shape[-1], start.amin(-1).clamp(min=1e-300)
        return sum(self._rate.bound(actions, -math.log(float(each)), actions) for each in least.view(-1))

    def state(self) -> State:
        """Return copies of the first distributions and of the sums over rounds."""
        start, paid = ([each.clone() for each in kept] for kept in (self._start, self._paid))
        return {"start": start, "paid": paid, "rate": self._rate.state()}

    def load(self, state: State) -> None:
        """Continue from a state."""
        self._start, self._paid = ([each.clone() for each in state[key]] for key in ("start", "paid"))
        self._rate.load(state["rate"])


def stationary(matrix: Tensor) -> Tensor:
    """Return the distribution p with p = p Q for a stochastic matrix Q: (..., n, n) -> (..., n), float64.

    Numbers below `LEAST` are replaced by it. The algorithm subtracts nothing, so it is accurate for nearly separate
    actions (Grassmann, Taksar and Heyman 1985, Regenerative analysis and steady state distributions).
    """
    reduced, actions = matrix.clamp(min=LEAST), matrix.shape[-1]
    for last in range(actions - 1, 0, -1):
        reduced[..., :last, last] /= reduced[..., last, :last].sum(-1, keepdim=True)
        reduced[..., :last, :last] += reduced[..., :last, last, None] * reduced[..., last, None, :last]
    found = [torch.ones_like(reduced[..., 0, 0])]
    for action in range(1, actions):
        found.append((torch.stack(found, -1) * reduced[..., :action, action]).sum(-1))
    weights = torch.stack(found, -1)
    return weights / weights.sum(-1, keepdim=True)
