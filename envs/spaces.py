"""Affine maps between a player's units and an environment's boxes, and observations as flat vectors."""

from typing import Any, final

import gymnasium
import numpy as np
import torch
from gymnasium.spaces.utils import flatdim, flatten
from torch import Tensor

from antiphon.errors import OracleError


@final
class ActionMap:
    """Vectors of a player's units to actions of a continuous Box of any shape, flattened in row-major order.

    A dimension that is bounded on both sides is [-1, 1] to the player. One that is bounded on one side or none keeps
    the environment's units, and is clipped at the bound that it has.

    >>> units = ActionMap(gymnasium.spaces.Box(np.float32([-2, -np.inf]), np.float32([4, 5])), "an example")
    >>> units.clip(np.float32([[-3, -9], [0.5, 9]]))
    array([[-1. , -9. ],
           [ 0.5,  5. ]], dtype=float32)
    >>> units.to_box(np.float32([[-1, -9], [0.5, 5]]))
    array([[-2. , -9. ],
           [ 2.5,  5. ]], dtype=float32)
    """

    def __init__(self, space: gymnasium.Space[Any], who: str) -> None:
        if not isinstance(space, gymnasium.spaces.Box) or not np.issubdtype(space.dtype, np.floating):
            raise OracleError(
                f"{who} has the action space {space}; expected a continuous Box, because players move in the units of "
                "its gradient. Choose an environment with continuous actions, or wrap this one so that it takes them."
            )
        self.width, self._shape, self._dtype = int(np.prod(space.shape)), space.shape, space.dtype
        # Every map is done in the box's own precision: a bound must be met exactly.
        self._low, self._high = space.low.reshape(-1), space.high.reshape(-1)
        self._bounded = np.isfinite(self._low) & np.isfinite(self._high)
        half, center = np.ones_like(self._low), np.zeros_like(self._low)
        low, high = self._low[self._bounded], self._high[self._bounded]
        half[self._bounded], center[self._bounded] = high / 2 - low / 2, high / 2 + low / 2
        self._half, self._center = half, center
        self._unit_low = np.where(self._bounded, -1, self._low).astype(np.float32)
        self._unit_high = np.where(self._bounded, 1, self._high).astype(np.float32)

    def clip(self, units: np.ndarray) -> np.ndarray:
        """The nearest units that the box allows: (n, width) float32 to the same."""
        return np.clip(units, self._unit_low, self._unit_high)

    def to_box(self, units: np.ndarray) -> np.ndarray:
        """Clipped units (n, width) as actions (n, *shape) of the box's dtype, within its bounds."""
        actions = np.clip(self._center + self._half * units.astype(self._dtype), self._low, self._high)
        return actions.reshape(len(units), *self._shape)

    def draw(self, count: int, generator: torch.Generator) -> np.ndarray:
        """Random units (count, width) float32: uniform where bounded; elsewhere normal, clipped at the bound."""
        uniform = torch.rand(count, self.width, generator=generator).mul_(2).sub_(1)
        if self._bounded.all():
            return uniform.numpy()
        normal = torch.randn(count, self.width, generator=generator)
        return self.clip(torch.where(torch.from_numpy(self._bounded), uniform, normal).numpy())


@final
class ObservationMap:
    """Observations of any flattenable space to float32 vectors, checked against what the space declares."""

    def __init__(self, space: gymnasium.Space[Any], who: str) -> None:
        if not space.is_np_flattenable:
            raise OracleError(
                f"{who} has the observation space {space}, whose observations are not of one size; expected a Box, or "
                "a Dict or Tuple of such. Wrap the environment so that it observes vectors."
            )
        self.width, self._space, self._who = int(flatdim(space)), space, who
        self._box = isinstance(space, gymnasium.spaces.Box)

    def flat(self, observation: Any, when: str) -> np.ndarray:  # Any: an environment's observation
        """The observation as a vector (width,) float32.

        Raises OracleError naming the environment, when it happened, and the place of the misfit.
        """
        misfit = _misfit(self._space, observation, "")
        if misfit:
            raise OracleError(
                f"{self._who} broke its own observation space {when}: {misfit}. "
                "Make the environment observe what it declares, or declare what it observes."
            )
        flat = observation.reshape(-1) if self._box else flatten(self._space, observation)
        return np.asarray(flat, dtype=np.float32)


def as_float32(rows: np.ndarray) -> Tensor:
    """A tensor of float32 in memory of its own."""
    return torch.from_numpy(rows.astype(np.float32))


def _misfit(space: gymnasium.Space[Any], value: Any, where: str) -> str:  # Any: an environment's observation
    """What is wrong with a value of this space, in words; empty if nothing is. Bounds are not looked at: many
    environments overstep theirs by a rounding."""
    if isinstance(space, gymnasium.spaces.Box):
        if isinstance(value, np.ndarray) and value.shape == space.shape and value.dtype == space.dtype:
            return ""
        return f"expected{where} {space.dtype}{list(space.shape)}, {_text(value)} arrived"
    if isinstance(space, gymnasium.spaces.Dict):
        if not isinstance(value, dict) or value.keys() != space.spaces.keys():
            return f"expected{where} the keys {sorted(space.spaces)}, {_text(value)} arrived"
        found = (_misfit(part, value[key], f"{where}[{key!r}]") for key, part in space.spaces.items())
        return next(filter(None, found), "")
    if isinstance(space, gymnasium.spaces.Tuple):
        if not isinstance(value, tuple) or len(value) != len(space.spaces):
            return f"expected{where} a tuple of {len(space.spaces)}, {_text(value)} arrived"
        found = (_misfit(part, value[index], f"{where}[{index}]") for index, part in enumerate(space.spaces))
        return next(filter(None, found), "")
    return "" if space.contains(value) else f"expected{where} a member of {space}, {_text(value)} arrived"


def _text(value: Any) -> str:  # Any: an environment's observation
    if isinstance(value, (np.ndarray, np.generic)):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, dict):
        return f"a dict with the keys {sorted(map(str, value))}"
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, (tuple, list)) else "")
