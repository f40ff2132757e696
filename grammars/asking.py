"""Checks the arguments of a draft's handles: values of the same draft, by position."""

from collections.abc import Mapping, Sequence

from antiphon.errors import GrammarError
from antiphon.grammars.query import Port


def check_values(
    who: str, known: Mapping[Port, object], inputs: Sequence[object], keywords: Mapping[str, object]
) -> None:
    """Check that a handle was called on values of its own draft, by position.

    who: the handle, for error messages. known: the values of the draft, by port.
    Raises GrammarError for keywords, for values of another draft, and for anything that is not a value.
    """
    if keywords:
        raise GrammarError(
            f"{who} was called with the keywords {sorted(keywords)}; expected values by position alone. Pass values in "
            "the order in which it takes them, and constants where it is declared."
        )
    for position, value in enumerate(inputs):
        port = getattr(value, "port", None)
        if isinstance(port, Port) and known.get(port) is value:
            continue
        found, remedy = _described(value)
        raise GrammarError(
            f"{who} was given {found} as input {position}; expected a value of its draft, which is what a handle "
            f"returns when it is called. {remedy}"
        )


def _described(value: object) -> tuple[str, str]:
    """What the argument is, and how to repair the call."""
    if isinstance(getattr(value, "port", None), Port):
        return f"{value!r}, a value of another draft,", "Declare everybody in one draft."
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__}", "Unpack it, if it holds several outputs of a node."
    if callable(value):
        name = getattr(value, "name", "") if hasattr(value, "draft") else ""
        found = f"the handle of {name!r}" if name else f"a {type(value).__name__}"
        return found, "Call it, and pass what it returns."
    return f"a {type(value).__name__}", "Give a constant where the operator is declared, or let an oracle answer it."
