"""The result of measuring one promise for one player on one instance."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

IDLE = "there is no gradient, and the response is zero: a wrong R could send zeros too"
"""The reason given if both the gradient and the response are zero: a wrong R might send zeros too."""


NOT_FINITE = "its gradient is not finite there"

DIVERGED = "its parameters are not finite after learning"


@final
@dataclass(frozen=True)
class Measured:
    """The result of measuring a promise for one player.

    value: the measured number. The promise is broken if it exceeds `bound`, or is NaN.
    operator: the node of R or Q that breaks the promise; "" if it is kept or the node is unknown.
    detail: a remark, in words.
    skipped: why nothing could be measured; "" if the promise was measured.
    seed: seed of the instance; -1 if not set.
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
        """Whether the promise was kept or not measured. A value of NaN breaks the promise."""
        return bool(self.skipped) or (not math.isnan(self.value) and self.value <= self.bound)


def excess(measured: Measured) -> float:
    """Return the value in units of its bound: infinity for NaN, minus infinity if nothing was measured.

    If the bound is 0, return the value itself.
    """
    if measured.skipped:
        return -math.inf
    if math.isnan(measured.value):
        return math.inf
    return measured.value / measured.bound if measured.bound > 0 else measured.value


def worst(found: Sequence[Measured]) -> Measured:
    """Return the result with the largest `excess`."""
    return max(found, key=excess)


def by_player(found: Iterable[Measured]) -> list[list[Measured]]:
    """Group the results by player, in the order in which the players first appear."""
    groups: dict[str, list[Measured]] = {}
    for each in found:
        groups.setdefault(each.player, []).append(each)
    return list(groups.values())


def beyond(value: float, uncertain: float) -> float:
    """Return value - uncertain, at least 0: how far a value that should be 0 or less is certainly too large.

    NaN stays NaN.

    >>> beyond(3.0, 1.0), beyond(1.0, 3.0), beyond(float("nan"), 1.0)
    (2.0, 0.0, nan)
    """
    left = value - uncertain
    return 0.0 if left <= 0 else left
