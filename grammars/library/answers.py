"""What an oracle answers, where a grammar looks at examples alone."""

from antiphon.grammars.draft import Value


def first(answer: Value | tuple[Value, ...]) -> Value:
    """The only value of an answer, or the first of several: x of a data set that plays (x, y)."""
    return answer if isinstance(answer, Value) else answer[0]
