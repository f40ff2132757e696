"""Nature whose pixels are drawn: each is one with its grey value as probability, anew whenever it is played."""

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
    """An oracle of the same questions, whose first question's first output is drawn: Bernoulli(x) instead of x.

    Draws are a function of (seed, round), so its state is that of the oracle that is asked.
    Raises OracleError where that output is not floating, and in play for values outside of [0, 1].
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
    """The live oracle."""

    def __init__(self, declaration: OracleDeclaration, *, seed: int) -> None:
        self._asked: Oracle = declaration.make(seed)
        self._question, self._draws = declaration.questions[0].name, Draws(seed)

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """As the oracle that is asked, but for the drawn output."""
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
        """That of the oracle that is asked."""
        return self._asked.state()

    def load(self, state: State) -> None:
        """Continue from a saved state."""
        self._asked.load(state)
        self._draws.restart()

    def report(self) -> Mapping[str, float]:
        """What the oracle that is asked reports."""
        return self._asked.report()

    def close(self) -> None:
        """Close the oracle that is asked."""
        self._asked.close()
