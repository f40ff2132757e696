"""Returns and lengths of episodes, summed up while they are played."""

from collections import deque
from collections.abc import Mapping
from typing import final

import numpy as np
import torch

from antiphon.grammars.oracle import State

AVERAGED = 100
"""Largest number of episodes, the newest ones, over which returns and lengths are averaged."""


@final
class Episodes:
    """Sums up rewards and steps of the current episode of each of `envs` copies.

    It counts all episodes, and keeps the return and the length of the newest `AVERAGED` ones.
    """

    def __init__(self, envs: int) -> None:
        self._returns, self._lengths = np.zeros(envs), np.zeros(envs)
        self._recent: deque[tuple[float, float]] = deque(maxlen=AVERAGED)
        self._count = self._newest = 0

    def count(self, reward: np.ndarray, ended: np.ndarray, cut: np.ndarray, env_steps: int) -> None:
        """Add one step of every copy.

        reward: (envs,). ended: whether the environment ended the episode with this step, (envs,). cut: whether the
        episode was cut after this step by another hand, (envs,). Its return is partial, and is not counted. env_steps:
        number of steps of all copies so far.
        """
        self._returns += reward
        self._lengths += 1
        over = ended | cut
        if over.any():
            self._recent.extend(zip(self._returns[ended].tolist(), self._lengths[ended].tolist(), strict=True))
            if ended.any():
                self._count, self._newest = self._count + int(ended.sum()), env_steps
            self._returns[over] = self._lengths[over] = 0

    def state(self) -> State:
        """Return what `load` needs: the rewards and steps of the current episodes so far, and the finished episodes."""
        sums = {"returns": torch.from_numpy(self._returns.copy()), "lengths": torch.from_numpy(self._lengths.copy())}
        return {**sums, "recent": list(self._recent), "count": self._count, "newest": self._newest}

    def load(self, state: State, anew: np.ndarray) -> None:
        """Continue from a saved state. anew: whether a new episode began instead of the saved one, (envs,)."""
        self._returns, self._lengths = state["returns"].numpy().copy(), state["lengths"].numpy().copy()
        self._returns[anew] = self._lengths[anew] = 0
        self._recent = deque(state["recent"], maxlen=AVERAGED)
        self._count, self._newest = state["count"], state["newest"]

    def report(self, env_steps: int) -> Mapping[str, float]:
        """Return the number of episodes so far, and the mean return and length of the newest `AVERAGED` of them.

        "averaged_episodes" is the number of episodes in the means, and "return_age" the number of steps of all copies
        since the newest of them ended. Without an ended episode, only their number (0) is returned. env_steps: number
        of steps of all copies so far.
        """
        if not self._recent:
            return {"episodes": 0}
        mean_return, mean_length = np.mean(self._recent, axis=0).tolist()
        means = {"episode_return": mean_return, "episode_length": mean_length, "averaged_episodes": len(self._recent)}
        return {"episodes": self._count, **means, "return_age": env_steps - self._newest}
