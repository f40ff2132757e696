"""Running statistics by which Nature scales observations and rewards. They are part of its state."""

from typing import final

import numpy as np
import torch
from gymnasium.wrappers.utils import RunningMeanStd
from torch import Tensor

from antiphon.grammars.oracle import State

CLIP = 10.0
"""Largest size of a scaled number; larger ones are clipped."""

EPSILON = 1e-8
"""Is added to each variance before its root is taken."""


@final
class ObservationScale:
    """Scales observations by their running mean and variance: (s - mean) / sqrt(variance + 1e-8), clipped to [-10, 10].

    width: number of an observation's numbers. The statistics are float64, and start with mean 0, variance 1 and the
    weight of 1e-4 observations, as those of Gymnasium and Stable-Baselines3.
    """

    def __init__(self, width: int) -> None:
        self._running = RunningMeanStd(shape=(width,))
        self._prepare()

    @classmethod
    def of(cls, state: State) -> "ObservationScale":
        """Return the scale with the statistics that `state` returned."""
        scale = cls(len(state["mean"]))
        scale.load(state)
        return scale

    def update(self, observed: np.ndarray) -> None:
        """Count a batch of observations, (n, width), in the mean and the variance."""
        self._running.update(observed.astype(np.float64))
        self._prepare()

    def __call__(self, observed: Tensor) -> Tensor:
        """Return the observations, (n, width), scaled: a new tensor."""
        return observed.sub(self._mean).div_(self._deviation).clamp_(-CLIP, CLIP)

    def state(self) -> State:
        """Return mean, variance and weight of the observations so far."""
        return _state(self._running)

    def load(self, state: State) -> None:
        """Continue from a saved state."""
        _load(self._running, state)
        self._prepare()

    def _prepare(self) -> None:
        self._mean = torch.from_numpy(self._running.mean).float()
        self._deviation = torch.from_numpy(np.sqrt(self._running.var + EPSILON)).float()


@final
class RewardScale:
    """Scales rewards by the running variance of the discounted return: r / sqrt(variance + 1e-8), within [-10, 10].

    envs: number of copies of the environment. gamma: the discount factor. The return of a copy is the sum of its
    rewards so far, each discounted by its age; it begins anew with each episode.
    """

    def __init__(self, envs: int, gamma: float) -> None:
        self._running, self._gamma = RunningMeanStd(shape=()), gamma
        self._returns = np.zeros(envs)

    def update(self, reward: np.ndarray, done: np.ndarray) -> None:
        """Count one step of every copy. reward: (envs,). done: whether the episode ended with this step, (envs,)."""
        self._returns = self._returns * self._gamma + reward
        self._running.update(self._returns)
        self._returns[done] = 0

    def __call__(self, reward: Tensor) -> Tensor:
        """Return the rewards, (n,), scaled: a new tensor."""
        return reward.div(float(np.sqrt(self._running.var + EPSILON))).clamp_(-CLIP, CLIP)

    def state(self) -> State:
        """Return the statistics of the returns so far, and the return of each copy's current episode."""
        return {**_state(self._running), "returns": torch.from_numpy(self._returns.copy())}

    def load(self, state: State, anew: np.ndarray) -> None:
        """Continue from a saved state. anew: whether a new episode began instead of the saved one, (envs,)."""
        _load(self._running, state)
        self._returns = state["returns"].numpy().copy()
        self._returns[anew] = 0


@final
class Scales:
    """The scales of one Nature: of its observations, of its rewards, or of both. None leaves numbers unchanged."""

    def __init__(self, observations: ObservationScale | None, rewards: RewardScale | None) -> None:
        self._observations, self._rewards = observations, rewards

    def observe(self, observed: np.ndarray) -> None:
        """Count the observations of all copies, (envs, width)."""
        if self._observations is not None:
            self._observations.update(observed)

    def pay(self, reward: np.ndarray, done: np.ndarray) -> None:
        """Count the rewards of one step of every copy. reward: (envs,). done: whether the episode ended, (envs,)."""
        if self._rewards is not None:
            self._rewards.update(reward, done)

    def observation(self, observed: Tensor) -> Tensor:
        """Return the observations, (n, width), scaled if this is asked: a new tensor."""
        return observed.clone() if self._observations is None else self._observations(observed)

    def reward(self, reward: Tensor) -> Tensor:
        """Return the scaled rewards, (n,)."""
        return reward if self._rewards is None else self._rewards(reward)

    def replayed(self, transitions: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return a batch of transitions (s, a, r, s', terminated) with observations and rewards scaled."""
        state, action, reward, after, terminated = transitions
        return self.observation(state), action, self.reward(reward), self.observation(after), terminated

    def state(self) -> State:
        """Return the states of the scales, under "observations" and "rewards"."""
        both = {"observations": self._observations, "rewards": self._rewards}
        return {name: scale.state() for name, scale in both.items() if scale is not None}

    def load(self, state: State, anew: np.ndarray) -> None:
        """Continue from a saved state. anew: whether a new episode began instead of the saved one, (envs,)."""
        if self._observations is not None:
            self._observations.load(state["observations"])
        if self._rewards is not None:
            self._rewards.load(state["rewards"], anew)


def _state(running: RunningMeanStd) -> State:
    return {
        "mean": torch.from_numpy(np.array(running.mean)),
        "variance": torch.from_numpy(np.array(running.var)),
        "count": float(running.count),
    }


def _load(running: RunningMeanStd, state: State) -> None:
    running.mean, running.var = state["mean"].numpy().copy(), state["variance"].numpy().copy()
    running.count = state["count"]
