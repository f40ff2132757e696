"""The common part of the bandits: count the rewarded actions (pulls), and report the mean reward."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import final

from torch import Tensor

from antiphon.grammars.oracle import State
from antiphon.oracles.draws import Draws


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


class Bandit(ABC):
    """Base class of live oracles whose state is the number of rewarded actions (pulls) so far."""

    def __init__(self, seed: int) -> None:
        self._draws, self._pulls, self._rewarded = Draws(seed), 0, MeanReward()

    @abstractmethod
    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Answer the question "observe" or "reward"."""

    def count(self, reward: Tensor) -> None:
        """Count a batch of pulls and their rewards. reward: (batch,)."""
        self._pulls += len(reward)
        self._rewarded.add(reward)

    def state(self) -> State:
        """Return the number of pulls so far."""
        return {"pulls": self._pulls}

    def load(self, state: State) -> None:
        """Continue from a saved state."""
        self._pulls = state["pulls"]
        self._draws.restart()

    def report(self) -> Mapping[str, float]:
        """Return the pulls so far, and the mean reward since the last report if there was a pull."""
        return {"pulls": self._pulls, **self._rewarded.report()}

    def close(self) -> None:  # noqa: B027 - does nothing on purpose
        """Do nothing: this oracle holds nothing that must be closed."""
