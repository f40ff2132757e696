"""Numbers that come from outside: annotations that say which are meant (`typed` checks them), and how one is told."""

import math
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import Annotated, TypeAlias

LONGEST = 2_000_000.0
"""Seconds of the longest wait, 23 days: several libraries count milliseconds in 31 bits."""

LARGEST = 2**63 - 1
"""The largest whole number that the libraries below take."""


@dataclass(frozen=True)
class Range:
    """In an annotation that `typed` checks: which numbers are meant. above: `least` itself is none of them."""

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
    """In an annotation that `typed` checks: how many items a sequence has."""

    least: int
    most: float = math.inf

    def __contains__(self, value: Sized) -> bool:
        return self.least <= len(value) <= self.most

    def __repr__(self) -> str:
        return f"{self.least} items" if self.most == self.least else f"{self.least} items or more"


Natural: TypeAlias = Annotated[int, Range(0)]
Count: TypeAlias = Annotated[int, Range(1)]
Positive: TypeAlias = Annotated[float, Range(0, above=True)]
Threads: TypeAlias = Annotated[int, Range(1, 2**15)]
Share: TypeAlias = Annotated[float, Range(0, 1, above=True)]
Seconds: TypeAlias = Annotated[float, Range(0, LONGEST, above=True)]
Some: TypeAlias = Annotated[Sequence[Count], Items(1)]
Image: TypeAlias = Annotated[Sequence[Count], Items(3, 3)]
"""Channels, height, width."""


def told(value: object) -> str:
    """A value with its type, briefly.

    >>> told("3"), told(None)
    ("'3' (a str)", 'None')
    """
    try:
        text = repr(value)
    except Exception:  # Python writes no number of thousands of digits, and an object of a user may raise anything
        text = "a value that cannot be written"
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return text if value is None else f"{text} (a {type(value).__name__})"
