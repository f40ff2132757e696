"""Settings that all experiments have, as pydantic models. They are strict and frozen, and refuse unknown keys."""

from datetime import date, time
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from antiphon.agents.specification import AgentSpecification, OnFailure
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.numbers import LONGEST
from antiphon.recipes.common.spelling import BareWord

OTHER_SEEDS = 1_000_000
"""Distance between the seeds of evaluations during training and those of the evaluation after training."""


def _free(value: object) -> object:
    """Return `value` unchanged if TOML can hold it; otherwise raise ValueError.

    Also raise ValueError for a `BareWord` (a text without quotes), since it may be a misspelled number or boolean.
    """
    if isinstance(value, BareWord):
        quoted = f'"{value or "text"}"'
        raise ValueError(f"a number, true, false, None, a list, a table, or a string in quotes, such as '{quoted}'")
    if not _is_toml(value):
        raise ValueError("what TOML can hold: numbers, strings, booleans, dates, None, and lists and tables of these")
    return value


def _is_toml(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_toml, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(_is_toml, value.values()))
    return value is None or isinstance(value, bool | int | float | str | date | time)


def _ages(value: object) -> object:
    """Return `value` unchanged if it is a number of rounds or a table of such numbers; otherwise raise ValueError."""
    ages = value.values() if isinstance(value, dict) else [value]
    if not all(type(each) is int and each >= 0 for each in ages):
        raise ValueError("a whole number of at least 0, or a table with one for each pass")
    return value


Count = Annotated[int, Field(ge=1)]
Index = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, le=LONGEST)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Ages = Annotated[Any, AfterValidator(_ages)]  # Any: a number, or a table of numbers by pass
Arguments = dict[str, Annotated[Any, AfterValidator(_free)]]  # Any: arguments of an optimizer or a user's function


class Table(BaseModel):
    """Base class of settings in an experiment. Unknown keys are refused, and values are not converted.

    Numbers must be finite, except in values of type Any.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class AgentTable(Table):
    """Settings of a player's agent: the optimizer that changes the player's parameters.

    agent: "torch", "module:Class", or the name of an installed agent.
    optimizer, clip_*, scheduler*: only for "torch".
    every, start: the rounds in which the player moves.
    on_failure: "fail", "skip" or "restart", for agents other than "torch". patience: seconds within which such an agent
    must hear and move.
    """

    agent: str = "torch"
    optimizer: str = "Adam"
    arguments: Arguments = Field(default={})
    clip_norm: Positive | None = None
    clip_value: Positive | None = None
    scheduler: str | None = None
    scheduler_arguments: Arguments = Field(default={})
    every: Count = 1
    start: Index = 0
    on_failure: OnFailure = "fail"
    patience: Seconds | None = None

    def specification(self) -> AgentSpecification:
        """Return the specification of an agent with the settings in this object.

        Raises ExperimentError if torch has no optimizer or scheduler of the given name.
        """
        given = self.model_dump(exclude={"optimizer", "arguments", "every", "start"})
        cadence = Cadence(self.every, self.start)
        return AgentSpecification.of(self.optimizer, self.arguments, **given, cadence=cadence)

    def overridden(self, player: "AgentTable") -> "AgentTable":
        """Return a copy of this object in which the keys that `player` sets explicitly replace the old values.

        If the optimizer or the scheduler changes, its old arguments are dropped; otherwise arguments are merged key by
        key. If the agent changes, all old keys except `every` and `start` are dropped.
        """
        own, changes = self.model_dump(), player.model_dump(exclude_unset=True)
        if player.agent != self.agent and "agent" in changes:
            own = {key: own[key] for key in ("every", "start")}
        elif "optimizer" in changes and player.optimizer != self.optimizer:
            own["arguments"] = {}
        if "scheduler" in changes and player.scheduler != self.scheduler:
            own["scheduler_arguments"] = {}
        for key in {"arguments", "scheduler_arguments"} & own.keys() & changes.keys():
            changes[key] = {**own[key], **changes[key]}
        return AgentTable(**{**own, **changes})


class EvaluationTable(Table):
    """Settings of the evaluation after training, and of evaluations during training.

    episodes: number of episodes. Their seeds are first_seed, first_seed + 1, ..., which training never uses.
    max_steps: number of steps after which an episode is cut, for environments without a time limit.
    every: evaluate between two rounds, each time that this number of rounds has been played. None: only at the end.
    These evaluations have seeds of their own, so that the last one does not judge what they have chosen.
    stop_at: end the run when the mean of an evaluation during training is at least this number (at most, for an error).
    patience: end the run after this number of evaluations in a row that were not better than the best before.
    """

    episodes: Count = 50
    first_seed: Index = 10_000
    max_steps: Count = 10_000
    every: Count | None = None
    stop_at: float | None = None
    patience: Count | None = None

    @model_validator(mode="after")
    def _compares_something(self) -> "EvaluationTable":
        if self.every is None and (self.stop_at, self.patience) != (None, None):
            raise ValueError("`every` beside `stop_at` and `patience`, which compare evaluations during training")
        return self

    @property
    def during_training(self) -> "EvaluationTable":
        """The settings of an evaluation during training: the same, with other seeds."""
        return self.model_copy(update={"first_seed": self.first_seed + OTHER_SEEDS})
