"""One environment of Gymnasium, made by name or by a factory, with observations as checked flat vectors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import gymnasium
import numpy as np

from antiphon.envs.spaces import ActionMap, ObservationMap
from antiphon.errors import OracleError

Name: TypeAlias = str | Callable[..., gymnasium.Env[Any, Any]]
"""A registered id, `module:id` for one that its module registers, or a class or function that makes an environment."""

Keywords: TypeAlias = Mapping[str, Any]  # Any: whatever the environment's constructor takes


@dataclass(frozen=True)
class Spaces:
    """What a grammar has to know of an environment: the widths of its observations and actions, as vectors."""

    observation: int
    action: int


def title(name: Name) -> str:
    """What an environment is called in errors.

    >>> title("Pendulum-v1")
    "environment 'Pendulum-v1'"
    """
    return f"environment {name if isinstance(name, str) else getattr(name, '__qualname__', repr(name))!r}"


def registered(name: str) -> bool:
    """Whether Gymnasium has an environment of exactly this name.

    >>> registered("Pendulum-v1"), registered("Pendulum-v77")
    (True, False)
    """
    return name in gymnasium.registry


def make(name: Name, keywords: Keywords) -> "FlatEnvironment":
    """A new environment. Raises OracleError when it cannot be made, or its spaces are not supported."""
    try:
        if isinstance(name, str):
            # Gymnasium's own checker looks at the first step only: FlatEnvironment looks at every one.
            environment = gymnasium.make(name, disable_env_checker=True, **keywords)
        else:
            environment = name(**keywords)
    except Exception as error:
        raise OracleError(_cannot_be_made(name, keywords, error)) from None
    if not isinstance(environment, gymnasium.Env):
        raise OracleError(
            f"{title(name)} made a {type(environment).__name__}; expected a gymnasium.Env. Correct the factory."
        )
    try:
        return FlatEnvironment(environment, title(name))
    except OracleError:
        environment.close()
        raise


def read_spaces(name: Name, keywords: Keywords) -> Spaces:
    """The widths of an environment, from one that is made, reset and closed again.

    Raises OracleError when it cannot be made or reset, or observes what it does not declare.
    """
    environment = make(name, keywords)
    try:
        environment.reset(seed=0)
        return Spaces(environment.observations.width, environment.actions.width)
    finally:
        environment.close()


class FlatEnvironment(gymnasium.Wrapper[np.ndarray, np.ndarray, Any, Any]):
    """An environment whose observations are vectors of float32, held to its own observation space at every step.

    actions, observations: the maps of its spaces. Actions stay those of the environment: `actions.to_box` makes them.
    """

    def __init__(self, environment: gymnasium.Env[Any, Any], who: str) -> None:
        super().__init__(environment)
        self.who, self.steps = who, 0
        self.actions = ActionMap(environment.action_space, who)
        self.observations = ObservationMap(environment.observation_space, who)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (self.observations.width,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Begin an episode. Raises OracleError when the environment raises, or observes what it does not declare."""
        try:
            observation, info = self.env.reset(seed=seed, options=options)
        except Exception as error:
            raise OracleError(_raised(self.who, "in reset", error)) from error
        return self.observations.flat(observation, "in reset"), info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        """One step. Raises OracleError when the environment raises, or answers what it does not declare."""
        self.steps += 1
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)
        except Exception as error:
            raise OracleError(_raised(self.who, f"in step {self.steps}", error)) from error
        return (
            self.observations.flat(observation, f"in step {self.steps}"),
            self._number(reward),
            bool(terminated),
            bool(truncated),
            info,
        )

    def _number(self, reward: Any) -> float:  # Any: an environment's reward
        try:
            return float(reward)
        except (TypeError, ValueError):
            raise OracleError(
                f"{self.who} answered a reward in step {self.steps} that is a {type(reward).__name__}; expected a "
                "number. Make the environment return one."
            ) from None


def _cannot_be_made(name: Name, keywords: Keywords, error: Exception) -> str:
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
        f"{type(error).__name__} was raised: {str(error).rstrip('.')}. {remedy}"
    )


def _raised(who: str, when: str, error: Exception) -> str:
    return (
        f"{who} raised {when}: expected an observation; {type(error).__name__} was raised: {str(error).rstrip('.')}. "
        "Repair the environment, or the actions that it is handed."
    )
