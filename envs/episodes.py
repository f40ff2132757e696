"""Returns and lengths of episodes, summed up while they are played."""

from typing import final

import numpy as np
import torch

from antiphon.grammars.oracle import State


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

    def state(self) -> State:
        """Return sums of the current episodes, and returns and lengths of those that ended since the last report."""
        sums = {"returns": torch.from_numpy(self._returns.copy()), "lengths": torch.from_numpy(self._lengths.copy())}
        return {**sums, "ended": list(self._ended)}

    def load(self, state: State, anew: np.ndarray) -> None:
        """Continue from a saved state. anew: whether a new episode began instead of the saved one, (envs,)."""
        self._returns, self._lengths = state["returns"].numpy().copy(), state["lengths"].numpy().copy()
        self._returns[anew] = self._lengths[anew] = 0
        self._ended = list(state["ended"])

    def report(self) -> dict[str, float]:
        """Return the number of episodes since the last report and, unless it is 0, their mean return and length."""
        ended, self._ended = self._ended, []
        if not ended:
            return {"episodes": 0}
        mean_return, mean_length = np.mean(ended, axis=0).tolist()
        return {"episodes": len(ended), "episode_return": mean_return, "episode_length": mean_length}
