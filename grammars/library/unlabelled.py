"""Picks x from an oracle's answer, for grammars that use examples without labels."""

from antiphon.grammars.draft import Value


def first(answer: Value | tuple[Value, ...]) -> Value:
    """Return the first value of an oracle's answer, or the only value. It is x if a data set plays (x, y)."""
    return answer if isinstance(answer, Value) else answer[0]
