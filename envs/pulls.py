"""The counters of a bandit."""

from collections.abc import Mapping
from typing import final

from torch import Tensor

from antiphon.grammars.oracle import State


@final
class Pulls:
    """The number of pulls, and the mean reward since the last report."""

    def __init__(self) -> None:
        self._pulls, self._rewarded, self._reports = 0, 0.0, 0

    def count(self, reward: Tensor) -> None:
        """Count a batch of pulls. reward: (batch,)."""
        self._pulls += len(reward)
        self._rewarded, self._reports = self._rewarded + float(reward.mean()), self._reports + 1

    def state(self) -> State:
        """Return the number of pulls so far."""
        return {"pulls": self._pulls}

    def load(self, state: State) -> None:
        """Continue from a saved state."""
        self._pulls = state["pulls"]

    def report(self) -> Mapping[str, float]:
        """Return the pulls so far, and the mean reward since the last report if there was a pull."""
        mean = {"reward": self._rewarded / self._reports} if self._reports else {}
        self._rewarded, self._reports = 0.0, 0
        return {"pulls": self._pulls, **mean}
