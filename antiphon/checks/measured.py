"""What came out: one figure for one promise, one player, one instance."""

import math
from dataclasses import dataclass
from typing import final


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
