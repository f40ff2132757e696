"""An oracle whose answer is a number that depends on the round: a warm-up, an annealing, a weight of a loss."""

from collections.abc import Sequence
from itertools import pairwise
from typing import final

import numpy as np
import torch
from torch import Tensor

from antiphon.errors import OracleError
from antiphon.grammars.factory import Factory
from antiphon.grammars.numbers import Natural
from antiphon.grammars.oracle import Memoryless, OracleDeclaration, Question
from antiphon.grammars.typed import typed
from antiphon.grammars.types import EdgeType
from antiphon.oracles.noise import refuse_integers


@typed
def scalar_schedule(*points: tuple[Natural, float], dtype: torch.dtype = torch.float32) -> OracleDeclaration:
    """Declare an oracle that answers with one number, a function of the round.

    points: pairs (round, value), at least one, with increasing rounds. Between two points, the number changes linearly.
    Before the first and after the last point, it is constant.
    Question: value() -> the number of this round, 0-d. Raises OracleError for other points, or a dtype that is not
    floating.

    >>> rising = scalar_schedule((0, 0.0), (4, 1.0)).make(seed=0)
    >>> [float(rising.answer("value", (), round)[0]) for round in (0, 1, 4, 9)]
    [0.0, 0.25, 1.0, 1.0]
    """
    refuse_integers("a scalar schedule", dtype)
    rounds = [round for round, _ in points]
    if not points or any(later <= earlier for earlier, later in pairwise(rounds)):
        raise OracleError(
            f"a scalar schedule was given points at the rounds {rounds}; expected at least one, in increasing order. "
            "Order the points, and name each round once."
        )
    if not all(np.isfinite(value) for _, value in points):
        raise OracleError(
            f"a scalar schedule was given the values {[value for _, value in points]}; expected finite numbers. "
            "Correct the others."
        )
    return OracleDeclaration(
        Factory.of(ScalarSchedule, points, dtype), (Question("value", (), (EdgeType((), dtype),)),)
    )


@final
class ScalarSchedule(Memoryless):
    """Answers with the number of the round. Made by `scalar_schedule`."""

    def __init__(self, points: Sequence[tuple[int, float]], dtype: torch.dtype, *, seed: int) -> None:
        self._rounds, self._values = zip(*points, strict=True)
        self._dtype = dtype

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Return the number of this round, 0-d."""
        return [torch.tensor(float(np.interp(round, self._rounds, self._values)), dtype=self._dtype)]
