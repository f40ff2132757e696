"""A custom environment: a room whose temperature must be controlled."""

from typing import Any

import gymnasium
import numpy as np


class Thermostat(gymnasium.Env[np.ndarray, np.ndarray]):
    """The observation is the room's temperature minus the desired one, in kelvin. The action changes it by up to 1 K.

    In each step the difference first shrinks by a tenth. The reward is minus the square of the difference after the
    action. An episode has `steps` steps.
    """

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, steps: int = 20) -> None:
        self._steps, self._step, self._distance = steps, 0, 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start at a random difference of at most five kelvin."""
        super().reset(seed=seed)
        self._step, self._distance = 0, float(self.np_random.uniform(-5, 5))
        return self._observed(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Apply the action. Returns observation, reward, terminated, truncated and info."""
        self._step += 1
        self._distance = 0.9 * self._distance + float(action[0])
        return self._observed(), -(self._distance**2), False, self._step >= self._steps, {}

    def _observed(self) -> np.ndarray:
        return np.array([self._distance], np.float32)
