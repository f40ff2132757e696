"""Hedge, or multiplicative weights: each action's probability falls exponentially with the action's total loss.

Freund and Schapire (1997), A decision-theoretic generalization of on-line learning. Cesa-Bianchi and Lugosi (2006),
Prediction, learning, and games, theorem 2.2. Rakhlin and Sridharan (2013), for the optimistic version.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.agents.heard import Heard
from antiphon.agents.rate import Rate
from antiphon.grammars.domains import Simplex, refuse_outside
from antiphon.grammars.numbers import Count, Positive
from antiphon.grammars.oracle import State
from antiphon.grammars.regret import Regret
from antiphon.grammars.typed import typed


@typed
@final
class Hedge:
    """Plays each action i with a probability proportional to start_i exp(-lr L_i), with L_i its total loss so far.

    The parameters are distributions over actions, along the last dimension of each tensor. The response is the loss of
    each action. lr: the learning rate; None takes sqrt(8 log n / T) / loss_range for n actions, where T is `horizon`,
    or the number of the round if there is none. loss_range: the largest loss minus the smallest loss of a round.
    optimistic: count the last loss twice, as a guess of the next loss (optimistic mirror descent with entropy).
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        horizon: Count | None = None,
        lr: Positive | None = None,
        loss_range: Positive = 1.0,
        optimistic: bool = False,
    ) -> None:
        refuse_outside("Hedge", Simplex(), parameters, "Let the player play a distribution, such as MixedStrategy.")
        self._parameters, self._optimistic = parameters, optimistic
        self._rate = Rate(horizon, lr, loss_range)
        self._start = [each.detach().to(torch.float64, copy=True) for each in parameters]
        self._heard, self._regret = Heard(), Regret(parameters)

    def hear(self, response: Sequence[Tensor]) -> None:
        """Add the response to those received since the last move."""
        self._heard.add(response)

    @torch.no_grad()
    def move(self) -> Sequence[Tensor]:
        """Update the distributions in place, and return them."""
        losses = self._heard.take()
        self._regret.add(self._parameters, losses)
        self._rate.add(losses)
        for parameter, start, total, last in zip(
            self._parameters, self._start, self._regret.slopes, losses, strict=True
        ):
            guess = total + last if self._optimistic else total
            rate = self._rate.next(parameter.shape[-1])
            parameter.copy_(torch.softmax(start.log() - rate * guess, -1))
        return self._parameters

    def report(self) -> Mapping[str, float]:
        """Return the regret against the best fixed actions, and its bound, which is sqrt(T log(n) / 2) if T is the
        horizon and losses are in [0, 1].

        The optimistic version reports no bound.
        """
        regret = {"regret": self._regret.against(Simplex())}
        return regret if self._optimistic else {**regret, "bound": sum(self._bounds())}

    def _bounds(self) -> Iterator[float]:
        for start in self._start:
            for row in start.view(-1, start.shape[-1]):
                yield self._rate.bound(len(row), -math.log(max(float(row.min()), 1e-300)))

    def state(self) -> State:
        """Return copies of the first distributions and of the sums over rounds."""
        start = [each.clone() for each in self._start]
        return {"start": start, "regret": self._regret.state(), "rate": self._rate.state()}

    def load(self, state: State) -> None:
        """Continue from a state."""
        self._start = [each.clone() for each in state["start"]]
        self._regret.load(state["regret"])
        self._rate.load(state["rate"])
