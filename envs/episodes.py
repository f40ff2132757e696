"""Returns and lengths of episodes, summed up while they are played."""

from typing import final

import numpy as np


@final
class Episodes:
    """Sums up rewards and steps of the current episode of each of `envs` copies.

    It keeps the return and the length of each episode that ended since the last report.
    """

    def __init__(self, envs: int) -> None:
        self._returns, self._lengths = np.zeros(envs), np.zeros(envs)
        self._ended: list[tuple[float, float]] = []

    def count(self, reward: np.ndarray, done: np.ndarray) -> None:
        """Add one step of every copy. reward: (envs,). done: whether the episode ended with this step, (envs,)."""
        self._returns += reward
        self._lengths += 1
        if done.any():
            self._ended.extend(zip(self._returns[done].tolist(), self._lengths[done].tolist(), strict=True))
            self._returns[done] = self._lengths[done] = 0

    def report(self) -> dict[str, float]:
        """Return the number of episodes since the last report and, unless it is 0, their mean return and length."""
        ended, self._ended = self._ended, []
        if not ended:
            return {"episodes": 0}
        mean_return, mean_length = np.mean(ended, axis=0).tolist()
        return {"episodes": len(ended), "episode_return": mean_return, "episode_length": mean_length}
