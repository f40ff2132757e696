"""The learning rate of multiplicative weights, and the bound on the regret that follows from it."""

import math
from collections.abc import Sequence
from typing import final

from torch import Tensor

from antiphon.grammars.oracle import State


@final
class Rate:
    """The learning rate of multiplicative weights over n actions: `lr`, or sqrt(8 weight log(n) / T) / loss_range.

    T is `horizon`, or the number of the round if that is None. weight: 1; a learner that combines several others uses
    another one.
    """

    def __init__(self, horizon: int | None, lr: float | None, loss_range: float) -> None:
        self._horizon, self._lr, self._range = horizon, lr, loss_range
        self._rounds, self._paces, self._widest = 0, 0.0, 0.0

    def add(self, losses: Sequence[Tensor]) -> None:
        """Count one round, and keep the largest difference of two losses of a row."""
        self._rounds += 1
        self._paces += self._pace(self._rounds)
        self._widest = max(self._widest, *(float((each.amax(-1) - each.amin(-1)).max()) for each in losses))

    def next(self, actions: int, weight: float = 1.0) -> float:
        """Return the learning rate of the next round."""
        return self._scale(actions, weight) * self._pace(self._rounds + 1)

    def bound(self, actions: int, surprise: float, weight: float = 1.0) -> float:
        """Return weight * surprise / rate + (sum of all rates) * range^2 / 8, the bound on the regret so far.

        surprise: the largest -log(probability) of an action at the start. range: the largest difference of two losses
        in a round. (Hoeffding's lemma; Cesa-Bianchi and Lugosi 2006, section 2.2.)
        """
        scale = self._scale(actions, weight)
        if actions == 1 or not self._rounds:
            return 0.0
        rate, spent = scale * self._pace(self._rounds), scale * self._paces
        return weight * surprise / rate + spent * self._widest**2 / 8

    def _scale(self, actions: int, weight: float) -> float:
        return self._lr or math.sqrt(8 * weight * math.log(actions)) / self._range

    def _pace(self, round: int) -> float:
        return 1.0 if self._lr else 1 / math.sqrt(self._horizon or round)

    def state(self) -> State:
        """Return what a checkpoint needs: the number of rounds, the sum of the rates before scaling, and the largest
        difference of two losses in a round.
        """
        return {"rounds": self._rounds, "paces": self._paces, "widest": self._widest}

    def load(self, state: State) -> None:
        """Continue from a state."""
        self._rounds, self._paces, self._widest = state["rounds"], state["paces"], state["widest"]
