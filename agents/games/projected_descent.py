"""Projected online gradient descent: a step against the gradient, then to the nearest point of a convex set.

Zinkevich (2003), Online convex programming and generalized infinitesimal gradient ascent. Balduzzi (2016), Deep online
convex optimization with gated games, for players that are inactive in some rounds.
"""

import math
from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.agents.heard import Heard
from antiphon.grammars.domains import DomainName, domain_of, norm, refuse_outside
from antiphon.grammars.numbers import Count, Positive
from antiphon.grammars.oracle import State
from antiphon.grammars.regret import Regret
from antiphon.grammars.typed import typed


@typed
@final
class ProjectedDescent:
    """Moves by minus D / (G sqrt t) times the gradient, then to the nearest point of the domain.

    D is the domain's diameter. G is the largest norm of a gradient so far, and at least `steepest`. t counts the
    player's active rounds: those whose gradient is not zero. A rectifier unit, for example, is inactive in rounds in
    which it outputs zero. With `horizon`, that number replaces t.

    Without `steepest`, the first step of a player is as long as D, which can leave a rectifier inactive for ever.
    domain: "ball" (norm at most `radius`), "cube" (each number at most `radius`), "simplex" (each row is a
    distribution). The first parameters must be a point of it.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        domain: DomainName = "ball",
        radius: Positive = 1.0,
        horizon: Count | None = None,
        steepest: Positive | None = None,
    ) -> None:
        self._parameters, self._domain, self._horizon = parameters, domain_of(domain, radius), horizon
        refuse_outside("ProjectedDescent", self._domain, parameters, "Choose another domain, radius or start.")
        self._heard, self._regret, self._steepest = Heard(), Regret(parameters), steepest or 0.0

    def hear(self, response: Sequence[Tensor]) -> None:
        """Add the response to those received since the last move."""
        self._heard.add(response)

    def move(self) -> Sequence[Tensor]:
        """Update the parameters in place, and return them. After a gradient of zero they stay."""
        slope = self._heard.take()
        if (steepness := norm(slope)) > 0:
            self._regret.add(self._parameters, slope)
            self._steepest = max(self._steepest, steepness)
            self._step(self._diameter / self._steepest / math.sqrt(self._horizon or self._regret.rounds), slope)
        return self._parameters

    @torch.no_grad()
    def _step(self, length: float, slope: Sequence[Tensor]) -> None:
        ahead = [each.double() - length * by for each, by in zip(self._parameters, slope, strict=True)]
        for parameter, moved in zip(self._parameters, self._domain.project(ahead), strict=True):
            parameter.copy_(moved)

    def report(self) -> Mapping[str, float]:
        """Return the regret against the best fixed point of the domain, its bound, and the number of active rounds.

        The bound is 1.5 D G sqrt(T) over T active rounds. With a horizon H it is D G (sqrt(H) + T / sqrt(H)) / 2, which
        is D G sqrt(T) if T equals H.
        """
        rounds, horizon = self._regret.rounds, self._horizon
        scale = (math.sqrt(horizon) + rounds / math.sqrt(horizon)) / 2 if horizon else 1.5 * math.sqrt(rounds)
        regret, bound = self._regret.against(self._domain), self._diameter * self._steepest * scale
        return {"regret": regret, "bound": bound, "active_rounds": float(rounds)}

    @property
    def _diameter(self) -> float:
        return self._domain.diameter(self._parameters)

    def state(self) -> State:
        """Return the sums of the regret, and the largest norm of a gradient."""
        return {"regret": self._regret.state(), "steepest": self._steepest}

    def load(self, state: State) -> None:
        """Continue from a state."""
        self._regret.load(state["regret"])
        self._steepest = state["steepest"]
