"""Oracles: the declaration of an oracle in a grammar, and the protocol of the object that answers during a run."""

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
    """What an oracle answers: values only (black box), or gradients as well (gray box) (essay, Definition 3)."""

    BLACK = "black"
    GRAY = "gray"


State: TypeAlias = dict[str, Any]
"""Nested dicts, lists and tuples of tensors, numbers, strings, booleans and None, as a checkpoint stores them."""


@typed
@dataclass(frozen=True)
class Question:
    """One query that an oracle can answer.

    inputs: the types of the values that the question takes. outputs: the types of the answer. A gray question is
    differentiable: the oracle also computes vector-Jacobian products of the answer.
    """

    name: str
    inputs: tuple[EdgeType, ...]
    outputs: tuple[EdgeType, ...]
    box: Box = Box.BLACK


@typed
@dataclass(frozen=True)
class OracleDeclaration:
    """An oracle as a grammar sees it: how to make it on its worker, its questions, and the sizes of its batches.

    factory: called on the oracle's worker with the keyword `seed` (an integer); returns an `Oracle`.
    questions: the questions that the oracle can answer. A call of the oracle's handle in a draft asks the first one.
    sizes: the size of every symbolic dimension (`Batch`) that the types of its questions introduce.
    """

    factory: Factory
    questions: tuple[Question, ...]
    sizes: tuple[tuple[str, Natural], ...] = ()

    def question(self, name: str) -> Question | None:
        """Return the question with this name; None if the oracle has no such question."""
        return next((question for question in self.questions if question.name == name), None)

    def make(self, seed: int) -> "Oracle":
        """Make the oracle on its worker. All randomness of the oracle has to come from `seed`."""
        return self.factory.target(*self.factory.arguments, **dict(self.factory.keywords), seed=seed)


@runtime_checkable
class Oracle(Protocol):
    """An oracle during a run, hosted by one worker.

    `answer` is called in a fixed order within a round. The answers must have the declared types. The input tensors are
    valid only until the end of the round, so the oracle must copy what it keeps.
    """

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Return the answer to one question in round `round` (counted from 0), one tensor per declared output."""
        ...

    def state(self) -> State:
        """Return the state of the oracle: everything that its next answers depend on."""
        ...

    def load(self, state: State) -> None:
        """Restore a state that the method `state` returned, and continue from it."""
        ...

    def report(self) -> Mapping[str, float]:
        """Return metrics since the last report, by name, such as episode returns. May be empty."""
        ...

    def close(self) -> None:
        """Release the oracle's resources outside this process's memory."""
        ...


class Memoryless(ABC):
    """An oracle whose answers depend only on its seed, the round and the inputs. It has no state to save."""

    @abstractmethod
    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Return the answer to one question in round `round` (counted from 0), one tensor per declared output."""

    def state(self) -> State:
        """Return an empty state: the next answer does not depend on earlier answers."""
        return {}

    def load(self, state: State) -> None:  # noqa: B027 - does nothing on purpose
        """Do nothing: there is no state."""

    def report(self) -> Mapping[str, float]:
        """Return an empty report."""
        return {}

    def close(self) -> None:  # noqa: B027 - as above
        """Do nothing: there are no resources to release."""
