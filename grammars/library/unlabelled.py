"""Picks x from an oracle's answer, for grammars that use examples without labels."""

from antiphon.grammars.draft import Value


def first(answer: Value | tuple[Value, ...]) -> Value:
    """The first value of an answer, or the only one: x of a data set that plays (x, y)."""
    return answer if isinstance(answer, Value) else answer[0]
