"""The oracle that `black_box` and `gray_box` declare: a function, its one question, and the counts of its queries.

Nemirovski and Yudin (1983, Problem Complexity and Method Efficiency in Optimization) count queries instead of machine
steps. Values and gradients are different information, so they are counted separately. One query with a batch asks for
several points, so points are counted as well as queries.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, final

import torch
from torch import Tensor

from antiphon.errors import FOREIGN, OracleError, unstopped
from antiphon.grammars.factory import Factory
from antiphon.grammars.oracle import Box, Question, State
from antiphon.grammars.types import Batch
from antiphon.oracles.answers import checked_answer, finite_answer


@final
class FunctionOracle:
    """Answers one question by calling a function. A black box is computed without autograd."""

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
        """Call the function with `inputs`, count the query, and return the outputs.

        Raises OracleError for an answer that is not as declared, or not finite.
        """
        points = _points(self._question, inputs)
        self._queries, self._values = self._queries + 1, self._values + points
        if self._question.box is Box.GRAY:
            return _Told.apply(partial(self._tell_gradient, points), *self._checked(inputs))
        with torch.no_grad():
            # The function may return an input, or memory that it uses again; the caller needs memory of its own.
            return tuple(value.clone() for value in self._checked(inputs))

    def state(self) -> State:
        """Return the number of queries, and the numbers of points at which values and gradients were asked."""
        return {"queries": self._queries, "values": self._values, "gradients": self._gradients}

    def load(self, state: State) -> None:
        """Continue counting from the numbers that `state` returned."""
        self._queries = self._reported = state["queries"]
        self._values, self._gradients = state["values"], state["gradients"]

    def report(self) -> Mapping[str, float]:
        """Return counts: queries since the last report and in total, and points of values and of gradients in total."""
        since, self._reported = self._queries - self._reported, self._queries
        return {"queries_since": since, **self.state()}

    def close(self) -> None:
        """Do nothing: there are no resources to release."""

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
                f"{type(error).__name__} was raised: {unstopped(error)}. "
                "Make the function take the inputs that it declares."
            ) from error
        return finite_answer(
            self._name, self._question, checked_answer(self._name, self._question, self._sizes, answer)
        )


class _Told(torch.autograd.Function):
    """An autograd function that returns its inputs unchanged, and calls the function `told` in each backward pass."""

    @staticmethod
    def forward(ctx: Any, told: Callable[[], None], *values: Tensor) -> tuple[Tensor, ...]:  # Any: torch's own
        """Return views of the values, without a copy."""
        ctx.told = told
        return tuple(value.view_as(value) for value in values)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Call the function `told` that `forward` received, and return the gradients unchanged."""
        ctx.told()
        return None, *cotangents


def _points(question: Question, inputs: Sequence[Tensor]) -> int:
    """Return the number of points in a query: the batch size of its first input, or 1 if that has no batch."""
    shape = question.inputs[0].shape if question.inputs else ()
    return len(inputs[0]) if shape and isinstance(shape[0], Batch) else 1
