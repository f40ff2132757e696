"""Annotations for the range of a number and the length of a sequence (`typed` checks them); a short text of a value."""

import math
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import Annotated, TypeAlias

LONGEST = 2_000_000.0
"""The longest wait in seconds, 23 days. Several libraries count milliseconds in 31 bits."""

LARGEST = 2**63 - 1
"""The largest integer that the libraries in use accept."""


@dataclass(frozen=True)
class Range:
    """Range of a number, for an annotation that `typed` checks.

    above: whether the number must be larger than `least`.
    """

    least: float
    most: float = math.inf
    above: bool = False

    def __contains__(self, value: float) -> bool:
        return self.least <= value <= self.most and not (self.above and value == self.least) and math.isfinite(value)

    def __repr__(self) -> str:
        least = f"above {self.least:,.0f}" if self.above else f"at least {self.least:,.0f}"
        return least if math.isinf(self.most) else f"{least}, at most {self.most:,.0f}"


@dataclass(frozen=True)
class Items:
    """Number of items of a sequence, for an annotation that `typed` checks."""

    least: int
    most: float = math.inf

    def __contains__(self, value: Sized) -> bool:
        return self.least <= len(value) <= self.most

    def __repr__(self) -> str:
        return f"{self.least} items" if self.most == self.least else f"{self.least} items or more"


Natural: TypeAlias = Annotated[int, Range(0)]
Count: TypeAlias = Annotated[int, Range(1)]
Positive: TypeAlias = Annotated[float, Range(0, above=True)]
Fraction: TypeAlias = Annotated[float, Range(0, 1)]
Threads: TypeAlias = Annotated[int, Range(1, 2**15)]
Share: TypeAlias = Annotated[float, Range(0, 1, above=True)]
Seconds: TypeAlias = Annotated[float, Range(0, LONGEST, above=True)]
Some: TypeAlias = Annotated[Sequence[Count], Items(1)]
Image: TypeAlias = Annotated[Sequence[Count], Items(3, 3)]
"""The shape of an image: channels, height, width."""


def told(value: object) -> str:
    """Describe a value and its type in a short text, for error messages.

    >>> told("3"), told(None)
    ("'3' (a str)", 'None')
    """
    try:
        text = repr(value)
    except Exception:  # Python refuses to write a number of thousands of digits; a user's object may raise anything
        text = "a value that cannot be written"
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return text if value is None else f"{text} (a {type(value).__name__})"
