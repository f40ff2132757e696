"""Maps the outputs of a player to actions of an environment, and observations to flat vectors."""

import warnings
from collections.abc import Iterator
from typing import Any, final

import gymnasium
import numpy as np
import torch
from gymnasium.spaces.utils import flatdim, flatten

from antiphon.errors import OracleError


@final
class ActionMap:
    """Converts vectors that a player plays to actions of a continuous Box of any shape, flattened in row-major order.

    If a dimension is bounded on both sides, the player uses the units [-1, 1] for it. Otherwise it uses the units of
    the environment, and its value is clipped at the bound, if there is one.

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
        if not np.prod(space.shape):
            raise OracleError(f"{who} has the action space {space}; expected at least one dimension. Give it one.")
        self.width, self._shape, self._dtype, self._who = int(np.prod(space.shape)), space.shape, space.dtype, who
        self._narrow = np.finfo(space.dtype).max < np.finfo(np.float32).max
        # The maps compute in the dtype of the box, so that bounds are met up to its rounding.
        self._low, self._high = space.low.reshape(-1), space.high.reshape(-1)
        largest = np.finfo(space.dtype).max  # some environments use it as infinity
        self._bounded = (self._low > -largest) & (self._high < largest)
        half, center = np.ones_like(self._low), np.zeros_like(self._low)
        low, high = self._low[self._bounded], self._high[self._bounded]
        half[self._bounded], center[self._bounded] = high / 2 - low / 2, high / 2 + low / 2
        self._half, self._center = half, center
        with np.errstate(over="ignore"):  # a bound outside of float32 is no bound
            self._unit_low = np.where(self._bounded, -1, self._low).astype(np.float32)
            self._unit_high = np.where(self._bounded, 1, self._high).astype(np.float32)
        self._unit_low[~self._bounded & (self._low <= -largest)] = -np.inf
        self._unit_high[~self._bounded & (self._high >= largest)] = np.inf

    @property
    def low(self) -> tuple[float, ...]:
        """The lower bound of each dimension, in the units of the player; it may be minus infinity."""
        return tuple(self._unit_low.tolist())

    @property
    def high(self) -> tuple[float, ...]:
        """The upper bound of each dimension, in the units of the player; it may be infinity."""
        return tuple(self._unit_high.tolist())

    def clip(self, units: np.ndarray) -> np.ndarray:
        """Clip vectors of the player to the bounds: (n, width) float32 -> (n, width) float32."""
        return np.clip(units, self._unit_low, self._unit_high)

    def to_box(self, units: np.ndarray) -> np.ndarray:
        """Map clipped vectors (n, width) to actions (n, *shape) within the bounds, in the dtype of the box.

        Raises OracleError for numbers that the dtype of the box cannot hold.
        """
        if self._narrow:
            self._check_range(units)
        actions = np.clip(self._center + self._half * units.astype(self._dtype), self._low, self._high)
        return actions.reshape(len(units), *self._shape)

    def _check_range(self, units: np.ndarray) -> None:
        largest = np.abs(units).max(initial=0)
        if largest > np.finfo(self._dtype).max:
            raise OracleError(
                f"{self._who} takes actions of {self._dtype}, and {largest:g} arrived, which that cannot hold; "
                "expected less. Bound the action space, or lower the learning rate of the player."
            )

    def draw(self, count: int, generator: torch.Generator) -> np.ndarray:
        """Return random vectors (count, width) float32.

        Dimensions with bounds on both sides are uniform. The others are normal, and clipped.
        """
        uniform = torch.rand(count, self.width, generator=generator).mul_(2).sub_(1)
        if self._bounded.all():
            return uniform.numpy()
        normal = torch.randn(count, self.width, generator=generator)
        return self.clip(torch.where(torch.from_numpy(self._bounded), uniform, normal).numpy())


@final
class ObservationMap:
    """Checks observations against their space, which must be flattenable, and converts them to float32 vectors."""

    def __init__(self, space: gymnasium.Space[Any], who: str) -> None:
        if not space.is_np_flattenable:
            raise OracleError(
                f"{who} has the observation space {space}, whose observations are not of one size; expected a Box, or "
                "a Dict or Tuple of such. Wrap the environment so that it observes vectors."
            )
        self.width, self._space, self._who = int(flatdim(space)), space, who
        if not self.width:
            raise OracleError(f"{who} has the observation space {space}; expected at least one number. Give it one.")
        self._box, self._warned = isinstance(space, gymnasium.spaces.Box), False

    @property
    def largest_picture(self) -> tuple[int, ...]:
        """The shape of the largest part of an observation with two or more dimensions; () if there is no such part."""
        return max((shape for shape in self.parts if len(shape) > 1), key=np.prod, default=())

    @property
    def parts(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each part of an observation, in the order of the flat vector. Only boxes keep their shape."""
        return tuple(
            (isinstance(part, gymnasium.spaces.Box) and part.shape) or (int(flatdim(part)),)
            for part in _parts(self._space)
        )

    @property
    def bytes(self) -> bool:
        """Whether all numbers of an observation are integers from 0 to 255."""
        return all(
            part.dtype == np.uint8 if isinstance(part, gymnasium.spaces.Box) else isinstance(part, _ZEROS_AND_ONES)
            for part in _parts(self._space)
        )

    def flat(self, observation: Any, when: str) -> np.ndarray:  # Any: an environment's observation
        """Return the observation as a vector (width,) of finite float32, in new memory.

        when: "in reset" or "in step N", for errors. An observation of another dtype is converted to the declared dtype
        if that loses nothing; the first time with a warning.
        Raises OracleError that names the environment, the step, and the wrong part of the observation.
        """
        try:
            fitted = _fitted(self._space, observation, "")
        except _Misfit as misfit:
            raise OracleError(
                f"{self._who} broke its own observation space {when}: {misfit}. "
                "Make the environment observe what it declares, or declare what it observes."
            ) from None
        if fitted is not observation and not self._warned:
            self._warn(observation, when)
        flat = fitted.reshape(-1) if self._box else flatten(self._space, fitted)
        vector = float32(flat)
        if not np.logical_and.reduce(np.isfinite(vector)):  # faster than all()
            raise OracleError(
                f"{self._who} observed NaN or infinity {when}, or what float32 cannot hold; expected finite numbers. "
                "Repair the environment, or bound the actions that it is handed."
            )
        return vector

    def _warn(self, observation: Any, when: str) -> None:  # Any: an environment's observation
        self._warned = True
        warnings.warn(
            f"{self._who} observed {described(observation)} {when} where it declares {self._space}; it is converted, "
            "here and in every step. Make the environment observe what it declares.",
            stacklevel=3,
        )


def float32(values: Any) -> np.ndarray:  # Any: an array; the return type of `flatten` is wider
    """Return a float32 copy of the values; numbers that are too large become infinite."""
    if values.dtype == np.float32:
        return values.copy()
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32)


def described(value: Any) -> str:  # Any: what an environment answered
    """Describe the type of a value, without its contents.

    >>> described(np.zeros(3)), described((1, 2)), described(None)
    ('float64[3]', 'a tuple of 2', 'a NoneType')
    """
    if isinstance(value, (np.ndarray, np.generic)):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, dict):
        return f"a dict with the keys {sorted(map(str, value))}"
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, (tuple, list)) else "")


class _Misfit(Exception):
    """An observation does not fit its space. The text says what is wrong, and in which part of the observation."""


def _fitted(space: gymnasium.Space[Any], value: Any, where: str) -> Any:  # Any: an environment's observation
    """Return the value if it fits its space, else a converted value; raise _Misfit if it cannot be converted.

    The bounds of boxes are not checked, because rounding takes many environments slightly beyond their bounds.
    """
    if isinstance(space, gymnasium.spaces.Box):
        return _fitted_box(space, value, where)
    if isinstance(space, gymnasium.spaces.Dict):
        if not isinstance(value, dict) or value.keys() != space.spaces.keys():
            raise _Misfit(f"expected{where} the keys {sorted(space.spaces)}, {described(value)} arrived")
        parts = {key: _fitted(part, value[key], f"{where}[{key!r}]") for key, part in space.spaces.items()}
        return value if all(parts[key] is value[key] for key in parts) else parts
    if isinstance(space, gymnasium.spaces.Tuple):
        if not isinstance(value, (tuple, list)) or len(value) != len(space.spaces):
            raise _Misfit(f"expected{where} a tuple of {len(space.spaces)}, {described(value)} arrived")
        found = tuple(_fitted(part, value[index], f"{where}[{index}]") for index, part in enumerate(space.spaces))
        return value if all(mine is theirs for mine, theirs in zip(found, value, strict=True)) else found
    if not space.contains(value):
        raise _Misfit(f"expected{where} a member of {space}, {described(value)} arrived")
    return value


def _fitted_box(space: gymnasium.spaces.Box, value: Any, where: str) -> Any:  # Any: as above; an array
    own = type(value) is np.ndarray or isinstance(value, np.generic)
    if own and value.shape == space.shape and value.dtype == space.dtype:
        return value
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):  # lists of different lengths, tensors on another device
        array = np.empty(0, dtype=object)
    if array.shape != space.shape or array.dtype.kind not in "biuf":
        raise _Misfit(f"expected{where} {space.dtype}{list(space.shape)}, {described(value)} arrived")
    with np.errstate(all="ignore"):
        fitted = array.astype(space.dtype)
    if fitted.dtype.kind != "f" and not np.array_equal(fitted, array):
        raise _Misfit(f"expected{where} {space.dtype}{list(space.shape)}, values that it cannot hold arrived")
    return fitted


def _parts(space: gymnasium.Space[Any]) -> Iterator[gymnasium.Space[Any]]:
    """Yield the parts of a space that are no Dict and no Tuple, in the order of the flat vector."""
    if not isinstance(space, (gymnasium.spaces.Dict, gymnasium.spaces.Tuple)):
        yield space
        return
    for part in space.spaces.values() if isinstance(space, gymnasium.spaces.Dict) else space.spaces:
        yield from _parts(part)


_ZEROS_AND_ONES = (gymnasium.spaces.Discrete, gymnasium.spaces.MultiDiscrete, gymnasium.spaces.MultiBinary)
"""Spaces whose flat vectors contain zeros and ones only."""
