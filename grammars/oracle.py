"""Oracles: what a grammar knows of them (a declaration), and what a live one must do (a protocol)."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeAlias, runtime_checkable

from torch import Tensor

from antiphon.grammars.factory import Factory
from antiphon.grammars.numbers import Natural
from antiphon.grammars.typed import typed
from antiphon.grammars.types import EdgeType


class Box(StrEnum):
    """What an oracle answers: values only, or gradients as well (essay, Definition 3)."""

    BLACK = "black"
    GRAY = "gray"


State: TypeAlias = dict[str, Any]
"""Nested dicts, lists and tuples whose leaves are tensors, numbers, strings, booleans or None, as checkpoints hold."""


@typed
@dataclass(frozen=True)
class Question:
    """One query that an oracle can answer.

    inputs: the types it takes; outputs: the types it answers, of zeroth order.
    A gray question is differentiable: its answer may be asked for a vector-Jacobian product.
    """

    name: str
    inputs: tuple[EdgeType, ...]
    outputs: tuple[EdgeType, ...]
    box: Box = Box.BLACK


@typed
@dataclass(frozen=True)
class OracleDeclaration:
    """An oracle as a grammar sees it: how it is made on its worker, what it can be asked, how large its batches are.

    factory: called on the oracle's worker with the keyword `seed` (an integer); returns an `Oracle`.
    questions: the first is the one that is meant when the oracle's handle is called without a name.
    sizes: the size of every symbolic dimension (`Batch`) that its types introduce.
    """

    factory: Factory
    questions: tuple[Question, ...]
    sizes: tuple[tuple[str, Natural], ...] = ()

    def question(self, name: str) -> Question | None:
        """The question of that name, or None."""
        return next((question for question in self.questions if question.name == name), None)

    def make(self, seed: int) -> "Oracle":
        """The live oracle; its randomness, if any, is to come from `seed` alone."""
        return self.factory.target(*self.factory.arguments, **dict(self.factory.keywords), seed=seed)


@runtime_checkable
class Oracle(Protocol):
    """A live oracle, hosted by one worker.

    `answer` is called in a fixed order within a round. What it returns must match the declared types; the tensors it is
    handed are valid until the end of the round only, so what it keeps it copies.
    """

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Answer one question in round `round` (from 0)."""
        ...

    def state(self) -> State:
        """Everything that the next answers depend on."""
        ...

    def load(self, state: State) -> None:
        """Continue from a state that `state` returned."""
        ...

    def report(self) -> Mapping[str, float]:
        """Figures for the run's metrics since the last report (for Nature: episode returns). May be empty."""
        ...

    def close(self) -> None:
        """Release what is held outside this process's memory."""
        ...


class Memoryless(ABC):
    """An oracle whose answers are functions of its seed, the round and what it is asked: there is nothing to save."""

    @abstractmethod
    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Answer one question in round `round` (from 0)."""

    def state(self) -> State:
        """Nothing: the next answer depends on no earlier one."""
        return {}

    def load(self, state: State) -> None:  # noqa: B027 - nothing to do is what it does
        """Nothing to do."""

    def report(self) -> Mapping[str, float]:
        """Nothing to report."""
        return {}

    def close(self) -> None:  # noqa: B027 - as above
        """Nothing to release."""
