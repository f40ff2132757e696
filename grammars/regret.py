"""Regret: how much more a player has paid than the best fixed play, in hindsight, would have paid."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.grammars.domains import Domain, inner
from antiphon.grammars.oracle import State


@final
class Regret:
    """Sums over rounds from which the regret follows, for losses that are linear in the play.

    A convex loss is replaced by the linear loss with the same gradient at the play. Its regret is at least that of the
    convex loss.

    rounds: number of rounds. paid: sum of <play, slope>. slopes: sum of the slopes, float64. like: tensors with the
    shapes of a play.
    """

    def __init__(self, like: Sequence[Tensor]) -> None:
        self.rounds, self.paid = 0, 0.0
        self.slopes = [torch.zeros(each.shape, dtype=torch.float64, device=each.device) for each in like]

    def add(self, play: Sequence[Tensor], slope: Sequence[Tensor]) -> None:
        """Add one round, with the loss <play, slope>."""
        self.rounds, self.paid = self.rounds + 1, self.paid + inner(play, slope)
        self.slopes = [mine + new for mine, new in zip(self.slopes, slope, strict=True)]

    def against(self, domain: Domain) -> float:
        """Return what was paid, minus what the best fixed point of `domain` would have paid."""
        return self.paid - domain.lowest(self.slopes)

    def state(self) -> State:
        """Return copies of all sums."""
        return {"rounds": self.rounds, "paid": self.paid, "slopes": [each.clone() for each in self.slopes]}

    def load(self, state: State) -> None:
        """Continue from sums that the method `state` returned."""
        self.rounds, self.paid = state["rounds"], state["paid"]
        self.slopes = [each.clone() for each in state["slopes"]]


def external_and_swap(paid: Tensor) -> tuple[float, float]:
    """Return the regret against the best fixed action, and that against the best function from actions to actions.

    paid: (..., n, n), where paid[i, j] is the sum over rounds of the probability of action i times the loss of action
    j. The regrets of several matrices are added.
    """
    own = paid.diagonal(dim1=-2, dim2=-1)
    return float((own.sum(-1) - paid.sum(-2).amin(-1)).sum()), float((own - paid.amin(-1)).sum())
