"""The specification of an agent, as a value: which agent, with which arguments, in which rounds it moves."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from antiphon.agents.agent import Agent
from antiphon.agents.games import agent_named
from antiphon.agents.torch_agent import TorchAgent
from antiphon.errors import AgentError, AntiphonError, ExperimentError, unstopped
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.numbers import Positive, Seconds
from antiphon.grammars.typed import typed
from antiphon.plugins import find

Arguments: TypeAlias = tuple[tuple[str, Any], ...]
"""Pairs of name and value, sorted by name; a value is a number, string, boolean, None, or a tuple of these."""

ROUNDLY = Cadence()
"""A move in every round."""

OnFailure: TypeAlias = Literal["fail", "skip", "restart"]
"""After a failure of the agent: end the run ("fail"), leave out the move ("skip"), or also build a new agent
("restart")."""

_METHODS = ("hear", "move", "state", "load")


@typed
@dataclass(frozen=True)
class AgentSpecification:
    """The description of an agent that is not made yet. `of` makes a specification from mappings.

    agent: "torch" (`TorchAgent`), an agent for games such as "hedge" (a module of the folder `agents/games`),
    "module:Class", or an entry point in the group `antiphon.agents`.
    arguments: keyword arguments of the optimizer if the agent is "torch", else of the agent. The optimizer, clipping
    and scheduler fields are only for "torch". cadence: the rounds in which the player moves. on_failure: what to do if
    an agent other than "torch" raises, or returns wrong shapes or numbers that are not finite. patience: seconds within
    which such an agent must hear and move; a longer call is a failure. None waits without limit. Raises
    ExperimentError for optimizers, schedulers and arguments that torch does not have or a player cannot use.
    """

    agent: str = "torch"
    optimizer: str = "Adam"
    arguments: Arguments = ()
    clip_norm: Positive | None = None
    clip_value: Positive | None = None
    scheduler: str | None = None
    scheduler_arguments: Arguments = ()
    cadence: Cadence = ROUNDLY
    on_failure: OnFailure = "fail"
    patience: Seconds | None = None

    def __post_init__(self) -> None:
        self._check_policy()
        for name, value in (*self.arguments, *self.scheduler_arguments):
            _check_value(self.agent, name, value)
        if self.scheduler is None and self.scheduler_arguments:
            raise ExperimentError(
                f"an agent without a scheduler was given scheduler_arguments {dict(self.scheduler_arguments)}; "
                "expected none. Name the scheduler, or leave them out."
            )
        if self.in_place:
            self._torch([torch.zeros(2, 2)])  # so that torch refuses wrong arguments before anything is started
        else:
            self._refuse_torch_options()

    @classmethod
    @typed
    def of(
        cls,
        optimizer: str = "Adam",
        arguments: Mapping[str, Any] | None = None,
        *,
        agent: str | Callable[..., Any] = "torch",  # Any: whatever the agent takes
        clip_norm: Positive | None = None,
        clip_value: Positive | None = None,
        scheduler: str | None = None,
        scheduler_arguments: Mapping[str, Any] | None = None,
        cadence: Cadence = ROUNDLY,
        on_failure: OnFailure = "fail",
        patience: Seconds | None = None,
    ) -> "AgentSpecification":
        """Make a specification from mappings, as in an experiment file.

        Arguments are sorted by name; lists become tuples, and numpy numbers become Python numbers.
        agent: a name, or a class or function at the top level of a module, where workers import it by its name.

        >>> AgentSpecification.of("SGD", {"momentum": 0.9, "lr": 0.1}).description
        'SGD(lr=0.1, momentum=0.9)'
        """
        own, scheduled = _frozen(arguments), _frozen(scheduler_arguments)
        policy = cadence, on_failure, patience
        return cls(_name_of(agent), optimizer, own, clip_norm, clip_value, scheduler, scheduled, *policy)

    @property
    def in_place(self) -> bool:
        """Whether the agent is "torch", which may update the parameters of a player in place."""
        return self.agent == "torch"

    @property
    def description(self) -> str:
        """One line of text that describes the agent, for tables."""
        parts = [_call(self.optimizer if self.in_place else self.agent, self.arguments)]
        parts += [f"norm <= {self.clip_norm}"] if self.clip_norm is not None else []
        parts += [f"elements <= {self.clip_value}"] if self.clip_value is not None else []
        parts += [_call(self.scheduler, self.scheduler_arguments)] if self.scheduler else []
        parts += [f"every {self.cadence.every} rounds"] if self.cadence.every != 1 else []
        parts += [f"from round {self.cadence.start}"] if self.cadence.start else []
        parts += [f"on failure {self.on_failure}"] if self.on_failure != "fail" else []
        parts += [f"within {self.patience:g} s"] if self.patience is not None else []
        return ", ".join(parts)

    def make(self, player: str, parameters: Sequence[Tensor]) -> Agent:
        """Build the agent (optimizer) of `player` for the tensors `parameters`, which it may update in place.

        Raises ExperimentError when the agent is not found, AgentError when it cannot be built or lacks a method.
        """
        build = self._torch if self.in_place else self._stranger(agent_named(self.agent))
        try:
            agent = build(parameters)
        except AntiphonError as error:
            raise AgentError(f"player {player!r} cannot have the agent {self.description}: {error}") from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # an agent may raise anything, or exit
            raise AgentError(
                f"agent {self.agent!r} of player {player!r} cannot be built as {self.description}: "
                f"{type(error).__name__}: "
                f"{unstopped(error)}. Expected Agent(parameters, **arguments); correct the arguments."
            ) from error
        missing = [method for method in _METHODS if not callable(getattr(agent, method, None))]
        if missing:
            raise AgentError(
                f"agent {self.agent!r} of player {player!r} is a {type(agent).__name__} without {', '.join(missing)}; "
                f"expected {', '.join(_METHODS)}. Write them, and run antiphon.testing.check_agent on the class."
            )
        return agent

    def _torch(self, parameters: Sequence[Tensor]) -> TorchAgent:
        return TorchAgent(parameters, arguments=dict(self.arguments), **self._torch_options())

    def _stranger(self, kind: Callable[..., Any]) -> Callable[[Sequence[Tensor]], Any]:
        return lambda parameters: kind(parameters, **dict(self.arguments))

    def _check_policy(self) -> None:
        if self.in_place and self.on_failure != "fail":
            raise ExperimentError(
                f"agent 'torch' was given on_failure={self.on_failure!r}; expected 'fail': it steps on the parameters "
                "in place, so a move that broke off cannot be left out. Leave it out, or use an agent of your own."
            )
        if self.in_place and self.patience is not None:
            raise ExperimentError(
                f"agent 'torch' was given patience={self.patience:g}; expected none, because it steps on the "
                "parameters in place, and a late step would change them. Leave it out, or use an agent of your own."
            )

    def _refuse_torch_options(self) -> None:
        expected = {"optimizer": "Adam", "clip_norm": None, "clip_value": None, "scheduler": None}
        given = [name for name, default in expected.items() if getattr(self, name) != default]
        if given:
            raise ExperimentError(
                f"agent {self.agent!r} was given {', '.join(given)}; expected arguments of its own alone. "
                "Pass what it takes as arguments, or use agent 'torch'."
            )

    def _torch_options(self) -> dict[str, Any]:  # Any: options differ in type
        """The options of the agent "torch", by name, except the arguments of its optimizer."""
        options = {"optimizer": self.optimizer, "clip_norm": self.clip_norm, "clip_value": self.clip_value}
        return options | {"scheduler": self.scheduler, "scheduler_arguments": dict(self.scheduler_arguments)}


def _frozen(arguments: Mapping[str, Any] | None) -> Arguments:
    return tuple((name, _tuples(value)) for name, value in sorted((arguments or {}).items()))


def _tuples(value: Any) -> Any:  # Any: arguments have many types
    """Return `value` with all lists replaced by tuples, at every depth, and numpy numbers by Python numbers."""
    if isinstance(value, list | tuple):
        return tuple(map(_tuples, value))
    return value.item() if isinstance(value, np.generic) else value


def _name_of(agent: Any) -> Any:  # Any: a name, a class or function, or a mistake that the caller refuses
    """Return `module:Class` for a class or function; anything else is returned unchanged.

    Raises ExperimentError if the module has nothing of that name, because workers could not import it.
    """
    if not isinstance(agent, type) and not inspect.isfunction(agent):
        return agent
    name = f"{agent.__module__}:{agent.__qualname__}"
    try:
        found = find("agent", name)
    except ExperimentError:
        found = None
    if found is not agent:
        raise ExperimentError(
            f"agent {name} was given as the {type(agent).__name__} itself, and its module has nothing of that name; "
            "expected 'module:Class', which every worker can import. Move it to the top level of a module."
        )
    return name


def _check_value(agent: str, name: str, value: object) -> None:
    if isinstance(value, tuple):
        for item in value:
            _check_value(agent, name, item)
    elif value is not None and not isinstance(value, bool | int | float | str):
        raise ExperimentError(
            f"argument {name!r} of agent {agent!r} takes a number, string, boolean, None or a tuple of these, "
            f"and a {type(value).__name__} arrived. "
            "Use AgentSpecification.of for lists; objects are made by the agent itself."
        )


def _call(name: str, arguments: Arguments) -> str:
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments)})"
