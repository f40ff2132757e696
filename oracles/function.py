"""The live oracle behind `black_box` and `gray_box`: a function, its one question, and a count of queries."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from antiphon.errors import OracleError
from antiphon.grammars.factory import Factory
from antiphon.grammars.oracle import Box, Question, State
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
        self._queries = self._reported = 0

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """One query of the function. Raises OracleError for an answer that is not as declared, or not finite."""
        self._queries += 1
        if self._question.box is Box.GRAY:
            return self._checked(inputs)
        with torch.no_grad():
            # A function may hand back an input, or its own memory: what is answered belongs to the asker.
            return tuple(value.clone() for value in self._checked(inputs))

    def state(self) -> State:
        """The count of queries."""
        return {"queries": self._queries}

    def load(self, state: State) -> None:
        """Count on from a saved state."""
        self._queries = self._reported = state["queries"]

    def report(self) -> Mapping[str, float]:
        """Queries in all, and since the last report."""
        since, self._reported = self._queries - self._reported, self._queries
        return {"queries": self._queries, "queries_since": since}

    def close(self) -> None:
        """Nothing to release."""

    def _checked(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        try:
            answer = self._function(*inputs)
        except OracleError:
            raise
        except Exception as error:
            raise OracleError(
                f"oracle {self._name!r}, question {self._question.name!r}: expected an answer; "
                f"{type(error).__name__} was raised: {error}. Make the function take the inputs that it declares."
            ) from error
        return finite_answer(
            self._name, self._question, checked_answer(self._name, self._question, self._sizes, answer)
        )
