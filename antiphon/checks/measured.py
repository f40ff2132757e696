"""What came out: one figure for one promise, one player, one instance."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

IDLE = "there is no gradient here, and nothing is told, which says nothing of R"
"""Why a response of zeros that is right is no evidence: a wrong R would have told the same."""


NOT_FINITE = "its gradient is no finite number there"

DIVERGED = "its parameters are no numbers any more when all have learned"


@final
@dataclass(frozen=True)
class Measured:
    """value: at most `bound`, or the promise is broken. operator: where it breaks, if it does. detail: in words.

    skipped: why nothing could be measured; empty where something was.
    """

    player: str
    value: float
    bound: float
    operator: str = ""
    detail: str = ""
    skipped: str = ""

    @property
    def kept(self) -> bool:
        """Whether the promise was kept; a figure that is no number breaks it."""
        return bool(self.skipped) or (not math.isnan(self.value) and self.value <= self.bound)


def excess(measured: Measured) -> float:
    """How bad a figure is, in units of its bound; no number is worst, and nothing measured best."""
    if measured.skipped:
        return -math.inf
    if math.isnan(measured.value):
        return math.inf
    return measured.value / measured.bound if measured.bound > 0 else measured.value


def worst(found: Sequence[Measured]) -> Measured:
    """The worst of several figures for one player."""
    return max(found, key=excess)


def by_player(found: Iterable[Measured], players: Iterable[str]) -> list[list[Measured]]:
    """The figures of each player, in the order of the players."""
    figures = list(found)
    groups = [[each for each in figures if each.player == player] for player in players]
    return [group for group in groups if group]


def beyond(value: float, uncertain: float) -> float:
    """By how much a value that is to be at most 0 exceeds what is uncertain of it; no number stays no number.

    >>> beyond(3.0, 1.0), beyond(1.0, 3.0), beyond(float("nan"), 1.0)
    (2.0, 0.0, nan)
    """
    left = value - uncertain
    return 0.0 if left <= 0 else left
