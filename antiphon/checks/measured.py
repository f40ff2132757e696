"""The result of measuring one promise for one player on one instance."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

IDLE = "there is no gradient, and the response is zero: a wrong R could send zeros too"
"""Why a right response of zeros is no evidence: a wrong R would have sent zeros too."""


NOT_FINITE = "its gradient is not finite there"

DIVERGED = "its parameters are not finite after learning"


@final
@dataclass(frozen=True)
class Measured:
    """A figure for one player.

    value: the promise is broken if it exceeds `bound`.
    operator: where it is broken; else "".
    detail: a remark, in words.
    skipped: why nothing could be measured; "" if something was.
    seed: of the instance.
    """

    player: str
    value: float
    bound: float
    operator: str = ""
    detail: str = ""
    skipped: str = ""
    seed: int = -1

    @property
    def kept(self) -> bool:
        """Whether the promise was kept. NaN breaks it."""
        return bool(self.skipped) or (not math.isnan(self.value) and self.value <= self.bound)


def excess(measured: Measured) -> float:
    """How bad a figure is, in units of its bound: infinity for NaN, minus infinity if nothing was measured."""
    if measured.skipped:
        return -math.inf
    if math.isnan(measured.value):
        return math.inf
    return measured.value / measured.bound if measured.bound > 0 else measured.value


def worst(found: Sequence[Measured]) -> Measured:
    """The worst of several figures for one player."""
    return max(found, key=excess)


def by_player(found: Iterable[Measured]) -> list[list[Measured]]:
    """The figures of each player."""
    groups: dict[str, list[Measured]] = {}
    for each in found:
        groups.setdefault(each.player, []).append(each)
    return list(groups.values())


def beyond(value: float, uncertain: float) -> float:
    """By how much a value that should be at most 0 exceeds its uncertainty. NaN stays NaN.

    >>> beyond(3.0, 1.0), beyond(1.0, 3.0), beyond(float("nan"), 1.0)
    (2.0, 0.0, nan)
    """
    left = value - uncertain
    return 0.0 if left <= 0 else left
