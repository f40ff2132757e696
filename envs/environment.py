"""One Gymnasium environment, made by name or by a factory. Its observations are checked and flattened."""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, final

import gymnasium
import numpy as np

from antiphon.envs.repeating import Beginning
from antiphon.envs.spaces import ActionMap, ObservationMap, described
from antiphon.errors import FOREIGN, OracleError, unstopped
from antiphon.grammars.seeds import forked
from antiphon.grammars.states import own_copy
from antiphon.grammars.typed import typed

Name: TypeAlias = str | Callable[..., gymnasium.Env[Any, Any]]
"""A registered id, `module:id` if importing the module registers the id, or a callable that makes an environment."""

Keywords: TypeAlias = Mapping[str, Any]  # Any: arguments of the environment's constructor


Repeated: TypeAlias = tuple[np.ndarray, bool]
"""An observation, and whether it belongs to a saved episode that was repeated. Otherwise a new episode has begun."""


@dataclass(frozen=True)
class Spaces:
    """The sizes and bounds of an environment's observations and actions.

    observation, action: widths of the flat vectors. low, high: bounds of each dimension of the player's output (see
    `ActionMap`); they may be infinite. picture: the shape of the largest part of an observation with two or more
    dimensions; () if there is none. parts: the shape of each part of an observation, in the order of the flat vector.
    bytes: whether all numbers of an observation are integers from 0 to 255.
    """

    observation: int
    action: int
    low: tuple[float, ...]
    high: tuple[float, ...]
    picture: tuple[int, ...] = ()
    parts: tuple[tuple[int, ...], ...] = ()
    bytes: bool = False


def title(name: Name) -> str:
    """Return the name of an environment for error messages.

    >>> title("Pendulum-v1")
    "environment 'Pendulum-v1'"
    """
    return f"environment {name if isinstance(name, str) else getattr(name, '__qualname__', repr(name))!r}"


def registered(name: str) -> bool:
    """Whether an environment with exactly this name is registered in Gymnasium.

    >>> registered("Pendulum-v1"), registered("Pendulum-v77")
    (True, False)
    """
    return name in gymnasium.registry


def make(name: Name, keywords: Keywords) -> "FlatEnvironment":
    """Make a new environment. Raises OracleError if it cannot be made, or its spaces are not supported."""
    try:
        if isinstance(name, str):
            # Gymnasium's checker checks only the first step; FlatEnvironment checks every step.
            environment = gymnasium.make(name, disable_env_checker=True, **keywords)
        else:
            environment = name(**keywords)
    except FOREIGN as error:
        raise OracleError(_cannot_be_made(name, keywords, error)) from None
    if not isinstance(environment, gymnasium.Env):
        raise OracleError(
            f"{title(name)} made a {type(environment).__name__}; expected a gymnasium.Env. Correct the factory."
        )
    try:
        _check_wrappers(environment, title(name))
        return FlatEnvironment(environment, title(name))
    except OracleError:
        with contextlib.suppress(*FOREIGN):  # the refusal is the error to report
            environment.close()
        raise


@typed
def read_spaces(name: Name, keywords: Keywords | None = None) -> Spaces:
    """Read the spaces of an environment: make it, reset it once, and close it.

    Raises OracleError if it cannot be made or reset, or if its observation is not in the declared space.
    """
    # The random streams of the caller stay unchanged.
    with forked(), contextlib.closing(make(name, keywords or {})) as environment:
        environment.reset(seed=0)
        observations, actions = environment.observations, environment.actions
        pictured = observations.largest_picture, observations.parts, observations.bytes
        return Spaces(observations.width, actions.width, actions.low, actions.high, *pictured)


class Step(NamedTuple):
    """The result of one step of an environment: the observation as a flat vector, reward, terminated and truncated."""

    observation: np.ndarray
    reward: float
    terminated: bool
    truncated: bool


@final
class FlatEnvironment:
    """Wraps an environment: observations are flat float32 vectors, and every answer is checked.

    actions, observations: functions between the environment's spaces and vectors. `step` takes actions that
    `actions.to_box` made. Numbers are finite. Arrays are copied, because an environment may reuse its arrays. `info` is
    dropped.
    """

    def __init__(self, environment: gymnasium.Env[Any, Any], who: str) -> None:
        self.environment, self.who, self.steps = environment, who, 0
        self.actions = ActionMap(environment.action_space, who)
        self.observations = ObservationMap(environment.observation_space, who)

    def reset(self, seed: int | None = None) -> np.ndarray:
        """Begin an episode, and return the first observation as a flat vector.

        Raises OracleError if the environment raises, or if its answer does not have the declared type.
        """
        try:
            answer = self.environment.reset(seed=seed)
        except FOREIGN as error:
            raise OracleError(_raised(self.who, "in reset", error)) from error
        observation, _ = self._parts(answer, ("observation", "info"), "reset")
        return self.observations.flat(observation, "in reset")

    def step(self, action: np.ndarray) -> Step:
        """Make one step, and return its result. Raises OracleError if the environment raises, or if its answer does not
        have the declared type.
        """
        self.steps += 1
        try:
            answer = self.environment.step(action)
        except FOREIGN as error:
            raise OracleError(_raised(self.who, f"in step {self.steps}", error)) from error
        observation, reward, terminated, truncated, _ = self._parts(answer, _STEP, f"step {self.steps}")
        return Step(
            self.observations.flat(observation, f"in step {self.steps}"),
            self._number(reward),
            self._flag(terminated, "terminated"),
            self._flag(truncated, "truncated"),
        )

    def beginning(self) -> Beginning:
        """Return the data from which the next episode follows, if it begins now by a reset without seed."""
        inner = self.environment.unwrapped
        try:
            generator = inner.np_random.bit_generator.state
            own = inner.state() if _has_state(inner) else None  # pyright: ignore[reportAttributeAccessIssue]
        except FOREIGN:
            return None
        return {"generator": generator, "own": own_copy(own)} if _is_plain(generator) else None

    def repeat(self, beginning: Beginning, actions: Iterable[Any], expected: np.ndarray, seed: int) -> Repeated:
        """Repeat an episode, so that the environment is in its saved state.

        beginning: how the episode began. actions: all actions since then, as for `step`. expected: the last
        observation of the saved episode. If the episode cannot be repeated exactly, a new one begins with `seed`.
        Returns the observation, and whether the episode was repeated.
        """
        if beginning is None:
            return self.reset(seed), False
        if isinstance(beginning, dict):
            inner: Any = self.environment.unwrapped  # Any: `load` is a method of a user's own
            inner.np_random.bit_generator.state = beginning["generator"]
            if _has_state(inner):
                inner.load(beginning["own"])
        observed = self.reset(beginning if isinstance(beginning, int) else None)
        for action in actions:
            observed = self.step(action).observation
        same = observed.tobytes() == expected.tobytes()
        return (observed, True) if same else (self.reset(seed), False)

    def close(self) -> None:
        """Close the environment. An exception in it becomes a warning, so that it does not hide an earlier error."""
        try:
            self.environment.close()
        except FOREIGN as error:
            warnings.warn(f"{self.who} raised in close: {type(error).__name__}: {unstopped(error)}.", stacklevel=2)

    def _parts(self, answer: Any, names: tuple[str, ...], when: str) -> tuple[Any, ...]:  # Any: an environment's answer
        if isinstance(answer, tuple) and len(answer) == len(names):
            return answer
        found = f"a tuple of {len(answer)}" if isinstance(answer, tuple) else f"a {type(answer).__name__}"
        raise OracleError(
            f"{self.who} answered {found} in {when}; expected ({', '.join(names)}). "
            "Wrap an environment of another interface so that it answers as gymnasium.Env does."
        )

    def _number(self, reward: Any) -> float:  # Any: an environment's reward
        number = reward if isinstance(reward, _NUMBERS) else _single(reward, "iuf")
        if number is None:
            raise OracleError(
                f"{self.who} answered a reward in step {self.steps} that is {described(reward)}; expected a "
                "number. Make the environment return one."
            )
        if not _finite(number):
            raise OracleError(
                f"{self.who} answered the reward {number} in step {self.steps}; expected a finite number. "
                "Repair the environment, or bound the actions that it is handed."
            )
        return float(number)

    def _flag(self, value: Any, name: str) -> bool:  # Any: an environment's answer
        if isinstance(value, (bool, np.bool_)):
            return bool(value)
        flag = _single(value, "biu")
        if flag is None or flag not in (0, 1):
            raise OracleError(
                f"{self.who} answered {name} in step {self.steps} that is {described(value)}; expected True or False. "
                "Make the environment return one."
            )
        return bool(flag)


_STEP = ("observation", "reward", "terminated", "truncated", "info")
_NUMBERS = (float, int, np.floating, np.integer)


def _single(value: Any, kinds: str) -> Any:  # Any: an environment's answer; a number of Python
    """Return the only number in an array, tensor or list; None if there are several, or the dtype is not in `kinds`."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        return None
    return array.item() if array.size == 1 and array.dtype.kind in kinds else None


def _finite(number: Any) -> bool:  # Any: a number of Python or numpy; an integer may have no float
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def _has_state(environment: object) -> bool:
    return all(callable(getattr(environment, name, None)) for name in ("state", "load"))


def _is_plain(value: Any) -> bool:  # Any: the state of a generator of numpy
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(each) for key, each in value.items())
    return type(value) in (int, str)


def _check_wrappers(environment: gymnasium.Env[Any, Any], who: str) -> None:
    """Raise OracleError for wrappers with running statistics.

    Each copy of the environment would have its own statistics. No checkpoint would contain them, and an evaluation
    would begin with new ones.
    """
    layer: Any = environment
    while layer is not None:
        if any("RunningMeanStd" in type(value).__name__ for value in getattr(layer, "__dict__", {}).values()):
            raise OracleError(
                f"{who} contains {type(layer).__name__}, whose running statistics belong to one copy, are in no "
                "checkpoint, and would begin anew in evaluation; expected wrappers that remember nothing beyond an "
                "episode. Remove the wrapper, and set `normalize_observations` or `normalize_rewards` instead: then "
                "Nature keeps such statistics, for all copies, in its checkpoints."
            )
        layer = layer.env if isinstance(layer, gymnasium.Wrapper) else None


def _cannot_be_made(name: Name, keywords: Keywords, error: BaseException) -> str:
    given = ", ".join(f"{key}={value!r}" for key, value in keywords.items()) or "none"
    if isinstance(error, (gymnasium.error.UnregisteredEnv, ModuleNotFoundError)):
        remedy = (
            "Check the spelling; write 'module:id' for an environment that a module registers; install its package."
        )
    elif isinstance(error, gymnasium.error.DependencyNotInstalled):
        remedy = "Install what it needs, on every machine that it may be placed on."
    else:
        remedy = "Check its keywords, and that it can be made by itself."
    return (
        f"{title(name)} cannot be made: expected an environment from these keywords: {given}; "
        f"{type(error).__name__} was raised: {unstopped(error)}. {remedy}"
    )


def _raised(who: str, when: str, error: BaseException) -> str:
    return (
        f"{who} raised {when}: expected an observation; {type(error).__name__} was raised: {unstopped(error)}. "
        "Repair the environment, or the actions that it is handed."
    )
