"""Checks the arguments of a call on a handle of a graph that is being written (a draft).

The arguments must be values of the same draft, be passed by position, and have the right types.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from antiphon.errors import GrammarError, ShapeError
from antiphon.grammars.factory import Factory
from antiphon.grammars.oracle import Question
from antiphon.grammars.query import Port
from antiphon.grammars.types import Sizes


def check_values(
    who: str, known: Mapping[Port, object], inputs: Sequence[object], keywords: Mapping[str, object]
) -> None:
    """Check that the arguments of a handle's call are values of the handle's own draft, passed by position.

    who: the handle, for error messages. known: the values of the draft, by port. inputs: the positional arguments.
    Raises GrammarError for keyword arguments, for values of another draft, and for anything that is not a value.
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
    """Describe a wrong argument of a handle's call. Returns two texts for the error: what it is, and how to repair the
    call.
    """
    if isinstance(getattr(value, "port", None), Port):
        return f"{value!r}, a value of another draft,", "Declare all players and oracles in one draft."
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__}", "Unpack it, if it holds several outputs of a node."
    if callable(value):
        name = getattr(value, "name", "") if hasattr(value, "draft") else ""
        found = f"the handle of {name!r}" if name else f"a {type(value).__name__}"
        return found, "Call it, and pass what it returns."
    return f"a {type(value).__name__}", "Give a constant where the operator is declared, or let an oracle answer it."


def check_inputs(who: str, question: Question, inputs: Sequence[Any], sizes: Sizes) -> None:  # Any: Values
    """Raise ShapeError unless `inputs` have the number and the types that the oracle's question takes."""
    if len(inputs) != len(question.inputs):
        raise ShapeError(
            f"{who} takes {len(question.inputs)} inputs and was given {len(inputs)}; "
            f"expected ({', '.join(map(repr, question.inputs))}). Pass exactly these."
        )
    for position, (expected, value) in enumerate(zip(question.inputs, inputs, strict=True)):
        if not value.type.composes_with(expected, sizes):
            raise ShapeError(
                f"{who} takes {expected!r} as input {position}, but {value.port!r} plays {value.type!r}. "
                "Declare the same shape and dtype on both sides of this edge."
            )


def check_parameters(name: str, factory: Factory, dtypes: set[Any]) -> None:
    """Raise GrammarError unless a player has parameters, all of one dtype.

    name: name of the player. factory: makes the module of the player. dtypes: the dtypes of all of its parameters.
    """
    if not dtypes:
        raise GrammarError(
            f"player {name!r} has no parameters to play: {factory!r} makes none that require a gradient. "
            "Declare it with `operator`, or give it parameters."
        )
    if len(dtypes) > 1:
        raise GrammarError(
            f"player {name!r} has parameters of several dtypes, {sorted(map(str, dtypes))}; expected one, "
            "since its response is one vector. Split it into a player per dtype."
        )
