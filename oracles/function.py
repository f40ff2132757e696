"""The live oracle behind `black_box` and `gray_box`: a function, its one question, and what it was asked for.

Nemirovski and Yudin (1983, Problem Complexity and Method Efficiency in Optimization) count queries instead of steps of
a machine. A value and a gradient are different information, so they are counted apart; and a batch asks of several
points at once, so points are counted beside questions.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, final

import torch
from torch import Tensor

from antiphon.errors import FOREIGN, OracleError
from antiphon.grammars.factory import Factory
from antiphon.grammars.oracle import Box, Question, State
from antiphon.grammars.types import Batch
from antiphon.oracles.answers import checked_answer, finite_answer


@final
class FunctionOracle:
    """Answers one question by a function; a black box is asked without autograd."""

    def __init__(
        self,
        function: Callable[..., Any] | Factory,  # Any: it is checked when it answers
        question: Question,
        sizes: tuple[tuple[str, int], ...],
        *,
        seed: int,
    ) -> None:
        self._name = getattr(function, "__name__", None) or repr(function)
        self._function = function() if isinstance(function, Factory) else function
        self._question, self._sizes = question, dict(sizes)
        self._queries = self._reported = self._values = self._gradients = 0

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """One query of the function. Raises OracleError for an answer that is not as declared, or not finite."""
        points = _points(self._question, inputs)
        self._queries, self._values = self._queries + 1, self._values + points
        if self._question.box is Box.GRAY:
            return _Told.apply(partial(self._tell_gradient, points), *self._checked(inputs))
        with torch.no_grad():
            # A function may hand back an input, or its own memory: what is answered belongs to the asker.
            return tuple(value.clone() for value in self._checked(inputs))

    def state(self) -> State:
        """The counts."""
        return {"queries": self._queries, "values": self._values, "gradients": self._gradients}

    def load(self, state: State) -> None:
        """Count on from a saved state."""
        self._queries = self._reported = state["queries"]
        self._values, self._gradients = state["values"], state["gradients"]

    def report(self) -> Mapping[str, float]:
        """Queries in all and since the last report; points whose value was told; points whose gradient was told."""
        since, self._reported = self._queries - self._reported, self._queries
        return {"queries_since": since, **self.state()}

    def close(self) -> None:
        """Nothing to release."""

    def _tell_gradient(self, points: int) -> None:
        self._gradients += points

    def _checked(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        try:
            answer = self._function(*inputs)
        except OracleError:
            raise
        except FOREIGN as error:
            raise OracleError(
                f"oracle {self._name!r}, question {self._question.name!r}: expected an answer; "
                f"{type(error).__name__} was raised: {error}. Make the function take the inputs that it declares."
            ) from error
        return finite_answer(
            self._name, self._question, checked_answer(self._name, self._question, self._sizes, answer)
        )


class _Told(torch.autograd.Function):
    """The answer as it is; every vector-Jacobian product of it calls `told` once, however many outputs it has."""

    @staticmethod
    def forward(ctx: Any, told: Callable[[], None], *values: Tensor) -> tuple[Tensor, ...]:  # Any: torch's own
        """Views, so that nothing is copied."""
        ctx.told = told
        return tuple(value.view_as(value) for value in values)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The cotangents as they are."""
        ctx.told()
        return None, *cotangents


def _points(question: Question, inputs: Sequence[Tensor]) -> int:
    """Of how many points one query asks: the batch in front of its first input, if it is declared to have one."""
    shape = question.inputs[0].shape if question.inputs else ()
    return len(inputs[0]) if shape and isinstance(shape[0], Batch) else 1
