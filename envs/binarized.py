"""A Nature with random binary pixels: at each query a pixel is 1 with its grey value as probability, else 0."""

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.errors import OracleError
from antiphon.grammars.factory import Factory
from antiphon.grammars.oracle import Oracle, OracleDeclaration, State
from antiphon.grammars.typed import typed
from antiphon.oracles.draws import Draws


@typed
def binarized(declaration: OracleDeclaration) -> OracleDeclaration:
    """Wrap an oracle: the first output x of its first question becomes a random draw from Bernoulli(x).

    Draws are a function of (seed, round), so the state is that of the wrapped oracle.
    Raises OracleError if the dtype of x is not floating, and later for values outside of [0, 1].
    """
    first = declaration.questions[0].outputs[0]
    if not first.dtype.is_floating_point:
        raise OracleError(
            f"binarized: expected probabilities to draw from, in a floating dtype; {first!r} arrived. "
            "Scale what the data set plays to [0, 1]."
        )
    return OracleDeclaration(Factory.of(Binarized, declaration), declaration.questions, declaration.sizes)


@final
class Binarized:
    """An oracle that wraps another oracle, and replaces the first output x of its first question by a draw from
    Bernoulli(x).
    """

    def __init__(self, declaration: OracleDeclaration, *, seed: int) -> None:
        self._asked: Oracle = declaration.make(seed)
        self._question, self._draws = declaration.questions[0].name, Draws(seed)

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Return the answer of the wrapped oracle. For the first question, replace the first output x by a draw."""
        first, *others = self._asked.answer(question, inputs, round)
        if question != self._question:
            return (first, *others)
        if not ((first >= 0) & (first <= 1)).all():
            raise OracleError(
                f"binarized: question {question!r} answered values from {float(first.min()):g} to "
                f"{float(first.max()):g}; expected probabilities, in [0, 1]. Scale what the data set plays."
            )
        return (torch.bernoulli(first, generator=self._draws.at(round)), *others)

    def state(self) -> State:
        """Return the state of the wrapped oracle."""
        return self._asked.state()

    def load(self, state: State) -> None:
        """Continue from a saved state."""
        self._asked.load(state)
        self._draws.restart()

    def report(self) -> Mapping[str, float]:
        """Return the report of the wrapped oracle."""
        return self._asked.report()

    def close(self) -> None:
        """Close the wrapped oracle."""
        self._asked.close()
