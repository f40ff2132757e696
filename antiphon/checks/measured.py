"""The result of measuring one promise for one player on one instance."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

IDLE = "there is no gradient, and the response is zero: a wrong R could send zeros too"
"""Why a promise counts as not measured if both the gradient and the response are zero."""


NOT_FINITE = "its gradient is not finite there"

DIVERGED = "its parameters are not finite after learning"


@final
@dataclass(frozen=True)
class Measured:
    """The result of measuring a promise for one player.

    value: the measured number. The promise is broken if `value` exceeds `bound`, or is NaN.
    operator: the node of the grammar that breaks the promise; "" if the promise is kept or the node is unknown.
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
        """Whether the promise was kept, or could not be measured. A value of NaN breaks the promise."""
        return bool(self.skipped) or (not math.isnan(self.value) and self.value <= self.bound)


def excess(measured: Measured) -> float:
    """Return the measured value divided by its bound, to compare results; the value itself if the bound is 0.

    Returns infinity for NaN, and minus infinity if nothing was measured.
    """
    if measured.skipped:
        return -math.inf
    if math.isnan(measured.value):
        return math.inf
    return measured.value / measured.bound if measured.bound > 0 else measured.value


def worst(found: Sequence[Measured]) -> Measured:
    """Return the worst of several results: the result with the largest value relative to its bound."""
    return max(found, key=excess)


def by_player(found: Iterable[Measured]) -> list[list[Measured]]:
    """Group the results by player, in the order in which the players first appear."""
    groups: dict[str, list[Measured]] = {}
    for each in found:
        groups.setdefault(each.player, []).append(each)
    return list(groups.values())


def beyond(value: float, uncertain: float) -> float:
    """Return value - uncertain, but at least 0. NaN stays NaN.

    Use: `value` should be at most 0, and is known up to +-`uncertain`. The result is how far it surely exceeds 0.

    >>> beyond(3.0, 1.0), beyond(1.0, 3.0), beyond(float("nan"), 1.0)
    (2.0, 0.0, nan)
    """
    left = value - uncertain
    return 0.0 if left <= 0 else left
