"""An environment of one's own: a room that is to be kept warm."""

from typing import Any

import gymnasium
import numpy as np


class Thermostat(gymnasium.Env[np.ndarray, np.ndarray]):
    """Observes the room's distance from what is wished, in kelvin; heats or cools it by at most one kelvin a step.

    A step costs the square of that distance. The room leaks a tenth of it. An episode takes `steps` steps.
    """

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, steps: int = 20) -> None:
        self._steps, self._step, self._distance = steps, 0, 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Somewhere within five kelvin."""
        super().reset(seed=seed)
        self._step, self._distance = 0, float(self.np_random.uniform(-5, 5))
        return self._observed(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Heat, leak, pay."""
        self._step += 1
        self._distance = 0.9 * self._distance + float(action[0])
        return self._observed(), -(self._distance**2), False, self._step >= self._steps, {}

    def _observed(self) -> np.ndarray:
        return np.array([self._distance], np.float32)
