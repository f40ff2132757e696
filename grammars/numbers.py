"""Numbers that come from outside: of the right kind and in their range, or refused in words."""

import math
import operator
from collections.abc import Callable
from typing import Any

from antiphon.errors import ExperimentError

LONGEST = 2_000_000.0
"""Seconds of the longest wait, 23 days: several libraries count milliseconds in 31 bits."""


def whole_number(what: str, value: object, least: int) -> int:
    """The value as an int. Raises ExperimentError for what is no whole number of at least `least`, or a boolean.

    >>> whole_number("key 'rounds'", 3, least=1)
    3
    """
    found = _converted(operator.index, value)
    if found is None or found < least:
        raise ExperimentError(
            f"{what} takes a whole number of at least {least}, and {told(value)} arrived. Correct the value."
        )
    return found


def positive_number(what: str, value: object, most: float = math.inf) -> float:
    """The value as a float. Raises ExperimentError for what is no finite number above 0, at most `most`, or a boolean.

    >>> positive_number("clip_norm", 1)
    1.0
    """
    found = None if isinstance(value, str) else _converted(float, value)
    if found is None or not 0 < found <= most or math.isinf(found):
        bound = "" if math.isinf(most) else f", at most {most:,.0f}"
        raise ExperimentError(f"{what} takes a finite number above 0{bound}, and {told(value)} arrived. Correct it.")
    return found


def seconds(what: str, value: object) -> float:
    """A wait in seconds, as a float. Raises ExperimentError as `positive_number`, and for more than `LONGEST`."""
    return positive_number(what, value, LONGEST)


def told(value: object) -> str:
    """A value with its type, briefly.

    >>> told("3"), told(None)
    ("'3' (a str)", 'None')
    """
    text = repr(value)
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return text if value is None else f"{text} (a {type(value).__name__})"


def _converted(convert: Callable[[Any], Any], value: Any) -> Any:  # Any: a number of some library, or anything else
    if isinstance(value, bool):
        return None
    try:
        return convert(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
