"""Small environments whose transitions are known, and some that misbehave: to test what is built upon environments."""

from typing import Any, final

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Tuple

Step = tuple[Any, float, bool, bool, dict[str, Any]]  # Any: an observation, and information that is anything


@final
class Line(gymnasium.Env):
    """A point on a line: x' = x + a for a in [-2, 2], reward x' - 1; terminated where x' >= goal, truncated after
    `limit` steps. An episode starts at 0.25 times its number, modulo 1; the observation is (x', steps)."""

    def __init__(self, goal: float = 5.0, limit: int = 4) -> None:
        self.observation_space = Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = Box(-2, 2, (1,), np.float32)
        self._goal, self._limit, self._episode = goal, limit, -1
        self._x, self._steps = 0.0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start the next episode; a seed starts over with the first."""
        super().reset(seed=seed)
        self._episode = 0 if seed is not None else self._episode + 1
        self._x, self._steps = 0.25 * (self._episode % 4), 0
        return self._observation(), {}

    def step(self, action: np.ndarray) -> Step:
        """One step."""
        self._x, self._steps = self._x + float(action[0]), self._steps + 1
        return self._observation(), self._x - 1, self._x >= self._goal, self._steps >= self._limit, {}

    def _observation(self) -> np.ndarray:
        return np.array([self._x, self._steps], dtype=np.float32)


@final
class LinearQuadratic(gymnasium.Env):
    """s' = A s + B a + noise, reward -(s'Qs + a'Ra), Q = I, R = I/10; never terminates, truncated after `limit` steps.

    Actions are an unbounded Box of float64, and so are observations.
    """

    def __init__(self, states: int = 2, actions: int = 1, noise: float = 0.0, limit: int = 20) -> None:
        self.observation_space = Box(-np.inf, np.inf, (states,), np.float64)
        self.action_space = Box(-np.inf, np.inf, (actions,), np.float64)
        self.dynamics, self.control = 0.9 * np.eye(states) + 0.05 * np.eye(states, k=1), 0.5 * np.eye(states, actions)
        self._noise, self._limit, self._steps = noise, limit, 0
        self._state = np.zeros(states)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start at s ~ N(0, I)."""
        super().reset(seed=seed)
        self._state, self._steps = self.np_random.normal(size=self._state.shape), 0
        return self._state, {}

    def step(self, action: np.ndarray) -> Step:
        """One step."""
        reward = -float(self._state @ self._state + 0.1 * action @ action)
        drift = self._noise * self.np_random.normal(size=self._state.shape)
        self._state, self._steps = self.dynamics @ self._state + self.control @ action + drift, self._steps + 1
        return self._state, reward, False, self._steps >= self._limit, {}


@final
class Tiles(gymnasium.Env):
    """Actions of shape (2, 3), which the picture (4, 4, 1) uint8 shows as written: row-major, 100 times, from the left
    top. Their bounds differ: [0, 1] in the first row, [-2, 2] in the second."""

    def __init__(self) -> None:
        self.observation_space = Box(0, 255, (4, 4, 1), np.uint8)
        low = np.array([[0, 0, 0], [-2, -2, -2]], dtype=np.float32)
        self.action_space = Box(low, np.array([[1, 1, 1], [2, 2, 2]], dtype=np.float32))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """An empty picture."""
        super().reset(seed=seed)
        return np.zeros((4, 4, 1), dtype=np.uint8), {}

    def step(self, action: np.ndarray) -> Step:
        """Show the action."""
        picture = np.zeros(16, dtype=np.uint8)
        picture[:6] = np.abs(action).reshape(-1) * 100
        return picture.reshape(4, 4, 1), float(action.sum()), False, False, {}


@final
class Nested(gymnasium.Env):
    """Observes a Dict of a Tuple and a discrete part, which is (level, [1, 2], one-hot of 1) when flat."""

    def __init__(self) -> None:
        box = Box(-np.inf, np.inf, (2,), np.float32)
        self.observation_space = Dict({"a": Tuple((Box(0, 9, (1,), np.float32), box)), "b": Discrete(3)})
        self.action_space = Box(-1, 1, (1,), np.float32)
        self._level = 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        """Level 0."""
        super().reset(seed=seed)
        self._level = 0.0
        return self._observation(), {}

    def step(self, action: np.ndarray) -> Step:
        """One level up."""
        self._level += 1
        return self._observation(), 0.0, False, self._level >= 9, {}

    def _observation(self) -> dict[str, Any]:
        return {"a": (np.array([self._level], dtype=np.float32), np.array([1, 2], dtype=np.float32)), "b": np.int64(1)}


@final
class Misbehaving(gymnasium.Env):
    """Breaks its contract in the third step, where `fault` is "shape", "dtype", "crash", "reward" (None) or "nan"; or
    at once: "discrete" has discrete actions, "reset" crashes in reset, "build" cannot be made."""

    def __init__(self, fault: str = "none") -> None:
        if fault == "build":
            raise ValueError("no such map")
        self.observation_space = Box(-1, 1, (3,), np.float32)
        self.action_space = Discrete(2) if fault == "discrete" else Box(-1, 1, (1,), np.float32)
        self._fault, self._steps = fault, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Zeros."""
        super().reset(seed=seed)
        if self._fault == "reset":
            raise RuntimeError("the door is shut")
        return np.zeros(3, dtype=np.float32), {}

    def step(self, action: np.ndarray) -> Step:
        """Zeros, or the fault."""
        self._steps += 1
        fault = self._fault if self._steps == 3 else "none"
        if fault == "crash":
            raise RuntimeError("the motor is on fire")
        observation = np.zeros(4 if fault == "shape" else 3, dtype=np.float64 if fault == "dtype" else np.float32)
        if fault == "nan":
            observation[0] = np.nan
        reward: Any = None if fault == "reward" else 1.0  # Any: this is the fault
        return observation, reward, False, False, {}
