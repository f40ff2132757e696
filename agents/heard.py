"""Adds up the responses that an agent receives between two moves."""

from collections.abc import Sequence
from typing import final

from torch import Tensor


@final
class Heard:
    """The sum of the responses (gradients) since the last move, one tensor per parameter."""

    def __init__(self) -> None:
        self._sum: list[Tensor] = []

    def add(self, response: Sequence[Tensor]) -> None:
        """Add a response, without writing to its tensors."""
        self._sum = [one + other for one, other in zip(self._sum, response, strict=True)] if self._sum else [*response]

    def take(self) -> list[Tensor]:
        """Return the sum, and begin again from nothing."""
        taken, self._sum = self._sum, []
        return taken
