"""The mean reward, which bandits and regulators report."""

from collections.abc import Mapping
from typing import final

from torch import Tensor


@final
class MeanReward:
    """Computes the mean of the rewards since the last report."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, reward: Tensor) -> None:
        """Add the mean reward of a batch. reward: (batch,)."""
        self._sum, self._count = self._sum + float(reward.mean()), self._count + 1

    def report(self) -> Mapping[str, float]:
        """Return the mean as "reward" and start a new mean. Return nothing if there was no reward."""
        mean = {"reward": self._sum / self._count} if self._count else {}
        self._sum, self._count = 0.0, 0
        return mean
