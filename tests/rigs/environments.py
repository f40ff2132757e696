"""Small environments with known transitions, and environments with faults, to test code that uses environments."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, final

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Discrete, Tuple

Step = tuple[Any, float, bool, bool, dict[str, Any]]  # Any: an observation, and information that is anything


@final
class Line(gymnasium.Env):
    """A point x on a line. An action a in [-2, 2] moves it to x' = x + a, with the reward x' - 1.

    An episode is terminated if x' >= goal, and truncated after `limit` steps. Episode k starts at x = 0.25 k modulo 1.
    The observation is (x, number of steps).
    """

    def __init__(self, goal: float = 5.0, limit: int = 4) -> None:
        self.observation_space = Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = Box(-2, 2, (1,), np.float32)
        self._goal, self._limit, self._episode = goal, limit, -1
        self._x, self._steps = 0.0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start the next episode; with a seed, start episode 0."""
        super().reset(seed=seed)
        self._episode = 0 if seed is not None else self._episode + 1
        self._x, self._steps = 0.25 * (self._episode % 4), 0
        return self._observation(), {}

    def step(self, action: np.ndarray) -> Step:
        """Make one step."""
        self._x, self._steps = self._x + float(action[0]), self._steps + 1
        return self._observation(), self._x - 1, self._x >= self._goal, self._steps >= self._limit, {}

    def state(self) -> dict[str, int]:
        """Return what an episode does not begin anew: the number of the episode."""
        return {"episode": self._episode}

    def load(self, state: dict[str, int]) -> None:
        """Continue from a saved state."""
        self._episode = state["episode"]

    def _observation(self) -> np.ndarray:
        return np.array([self._x, self._steps], dtype=np.float32)


@final
class LinearQuadratic(gymnasium.Env):
    """A linear system with quadratic costs: the next state is A s + B a + noise.

    The reward is -(|s|^2 + |a|^2 / 10). An episode never terminates; it is truncated after `limit` steps.
    Actions and observations are unbounded Boxes of float64.
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
        """Make one step."""
        reward = -float(self._state @ self._state + 0.1 * action @ action)
        drift = self._noise * self.np_random.normal(size=self._state.shape)
        self._state, self._steps = self.dynamics @ self._state + self.control @ action + drift, self._steps + 1
        return self._state, reward, False, self._steps >= self._limit, {}


@final
class Tiles(gymnasium.Env):
    """An environment whose observation, a picture (4, 4, 1) uint8, shows the last action, of shape (2, 3).

    The first six pixels, in row-major order, are 100 times the absolute values of the action.
    Actions are in [0, 1] in the first row, and in [-2, 2] in the second row.
    """

    def __init__(self) -> None:
        self.observation_space = Box(0, 255, (4, 4, 1), np.uint8)
        low = np.array([[0, 0, 0], [-2, -2, -2]], dtype=np.float32)
        self.action_space = Box(low, np.array([[1, 1, 1], [2, 2, 2]], dtype=np.float32))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Return a picture of zeros."""
        super().reset(seed=seed)
        return np.zeros((4, 4, 1), dtype=np.uint8), {}

    def step(self, action: np.ndarray) -> Step:
        """Return a picture that shows the action. The reward is the sum of the action."""
        picture = np.zeros(16, dtype=np.uint8)
        picture[:6] = np.abs(action).reshape(-1) * 100
        return picture.reshape(4, 4, 1), float(action.sum()), False, False, {}


@final
class Nested(gymnasium.Env):
    """An environment whose observation is a Dict of a Tuple and a Discrete.

    As a flat vector it is: level, 1, 2, and the one-hot vector of 1.
    """

    def __init__(self) -> None:
        box = Box(-np.inf, np.inf, (2,), np.float32)
        self.observation_space = Dict({"a": Tuple((Box(0, 9, (1,), np.float32), box)), "b": Discrete(3)})
        self.action_space = Box(-1, 1, (1,), np.float32)
        self._level = 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        """Start an episode at level 0."""
        super().reset(seed=seed)
        self._level = 0.0
        return self._observation(), {}

    def step(self, action: np.ndarray) -> Step:
        """Raise the level by 1. The episode is truncated at level 9."""
        self._level += 1
        return self._observation(), 0.0, False, self._level >= 9, {}

    def _observation(self) -> dict[str, Any]:
        return {"a": (np.array([self._level], dtype=np.float32), np.array([1, 2], dtype=np.float32)), "b": np.int64(1)}


@final
class Shown(gymnasium.Env):
    """An environment that can be filmed: a picture of one grey, which each step makes lighter by 10. It ends nowhere.

    render_mode: "rgb_array" for pictures. broken: whether `render` answers with a text.
    """

    def __init__(self, render_mode: str | None = None, broken: bool = False) -> None:
        self.observation_space, self.action_space = Box(-9, 9, (1,), np.float32), Box(-1, 1, (1,), np.float32)
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
        self.render_mode, self._broken, self._steps = render_mode, broken, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start with a black picture."""
        super().reset(seed=seed)
        self._steps = 0
        return np.zeros(1, dtype=np.float32), {}

    def step(self, action: np.ndarray) -> Step:
        """Make the picture lighter."""
        self._steps += 1
        return np.zeros(1, dtype=np.float32), 0.0, False, False, {}

    def render(self) -> Any:
        """Return the picture, 32 pixels wide and high."""
        return "grey" if self._broken else np.full((32, 32, 3), 10 * self._steps, dtype=np.uint8)


HABITS = (
    *("plain", "reused array", "various infos", "float64", "list", "tensor", "own action"),
    *("integer reward", "array reward", "numpy flags", "integer flags"),
)


@final
class Unusual(gymnasium.Env):
    """An environment that answers in an unusual but allowed way. habit: one of `HABITS`, such as a reused array.

    Gymnasium allows each habit, or only warns of it. Observations and rewards are the same for all habits: the
    observation is (number of steps, last action), and the reward is the rounded action. An episode is truncated after 3
    steps.
    """

    def __init__(self, habit: str = "plain") -> None:
        self.observation_space, self.action_space = Box(-9, 9, (2,), np.float32), Box(-1, 1, (1,), np.float32)
        self._habit, self._steps, self._array = habit, 0, np.zeros(2, dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        """Start an episode. The observation is zeros."""
        super().reset(seed=seed)
        self._steps = 0
        return self._observation(0.0), self._info()

    def step(self, action: np.ndarray) -> tuple[Any, ...]:
        """Make one step."""
        self._steps += 1
        moved = float(action[0])
        if self._habit == "own action":
            action[0] = 7.0
        reward: Any = round(moved)
        if self._habit != "integer reward":
            reward = np.array([reward]) if self._habit == "array reward" else float(reward)
        over: Any = self._steps >= 3
        if self._habit in ("numpy flags", "integer flags"):
            over = np.bool_(over) if self._habit == "numpy flags" else int(over)
        return self._observation(moved), reward, False, over, self._info()

    def _observation(self, moved: float) -> Any:
        if self._habit == "list":
            return [self._steps, moved]
        if self._habit == "tensor":
            return torch.tensor([self._steps, moved])
        self._array = self._array if self._habit == "reused array" else self._array.copy()
        self._array[:] = self._steps, moved
        return self._array.astype(np.float64) if self._habit == "float64" else self._array

    def _info(self) -> dict[str, Any]:
        return {"found": np.zeros(int(self.np_random.integers(1, 9)))} if self._habit == "various infos" else {}


@final
class Reach(gymnasium.Env):
    """An environment with one state and one step per episode. The reward is -|a - target|^2.

    The bounds of the four dimensions of the action are [-2, 2], [0, inf), (-inf, 0] and (-inf, inf).
    """

    target = (1.0, 5.0, -5.0, 5.0)

    def __init__(self) -> None:
        self.observation_space = Box(-1, 1, (1,), np.float32)
        self.action_space = Box(
            np.array([-2, 0, -np.inf, -np.inf], dtype=np.float32), np.array([2, np.inf, 0, np.inf], dtype=np.float32)
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Return the only state."""
        super().reset(seed=seed)
        return np.ones(1, dtype=np.float32), {}

    def step(self, action: np.ndarray) -> Step:
        """End the episode with the reward -|action - target|^2."""
        return np.ones(1, dtype=np.float32), -float(((action - self.target) ** 2).sum()), True, False, {}


@final
class Misbehaving(gymnasium.Env):
    """An environment with a fault. fault: the name of the fault; "none" for no fault.

    These faults are in the answer to the third step: "shape", "nan", "huge" (float32 cannot hold the number), "reward"
    (None), "nan reward", "huge reward", "flag" (None), "old answer" (four values). These faults end or block the third
    step: "crash" (an exception), "exit" (SystemExit), "die" (exit code 7), "killed" (SIGKILL), "hang".
    Faults before the first step: "discrete" (discrete actions), "reset" (an exception in reset), "nan reset" (reset
    returns NaN), "build" (the constructor raises).
    """

    def __init__(self, fault: str = "none") -> None:
        if fault == "build":
            raise ValueError("no such map")
        self.observation_space = Box(-1, 1, (3,), np.float64 if fault == "huge" else np.float32)
        self.action_space = Discrete(2) if fault == "discrete" else Box(-1, 1, (1,), np.float32)
        self._fault, self._steps = fault, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start an episode. The observation is zeros."""
        super().reset(seed=seed)
        if self._fault == "reset":
            raise RuntimeError("the door is shut")
        return self._zeros(np.nan if self._fault == "nan reset" else 0), {}

    def step(self, action: np.ndarray) -> Any:  # Any: this may be the fault
        """Return zeros, or show the fault in the third step."""
        self._steps += 1
        fault = self._fault if self._steps == 3 else "none"
        if fault in _ENDS:
            _ENDS[fault]()
        observation = self._zeros({"nan": np.nan, "huge": 1e39}.get(fault, 0))
        if fault == "shape":
            observation = np.zeros(4, dtype=np.float32)
        reward = {"reward": None, "nan reward": np.nan, "huge reward": 1e39}.get(fault, 1.0)
        answer = observation, reward, None if fault == "flag" else False, False, {}
        return answer[:4] if fault == "old answer" else answer

    def _zeros(self, first: float) -> np.ndarray:
        return np.array([first, 0, 0], dtype=self.observation_space.dtype)


def _crash() -> None:
    raise RuntimeError("the motor is on fire")


_ENDS: dict[str, Callable[[], object]] = {
    "crash": _crash,
    "exit": lambda: sys.exit(3),
    "die": lambda: os._exit(7),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": lambda: threading.Event().wait(),
}
