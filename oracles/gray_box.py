"""A function that is asked for its value and for vector-Jacobian products of it (essay, Definition 3)."""

from collections.abc import Mapping, Sequence

from antiphon.grammars.oracle import Box, OracleDeclaration, Question
from antiphon.grammars.typed import typed
from antiphon.grammars.types import EdgeType
from antiphon.oracles.black_box import Asked, declare_function


@typed
def gray_box(
    function: Asked,
    inputs: Sequence[EdgeType],
    outputs: Sequence[EdgeType],
    *,
    sizes: Mapping[str, int] | None = None,
    question: str = "value",
) -> OracleDeclaration:
    """An oracle that answers `function(*inputs)` and may be asked for gradients: the function is made of torch
    operations, or is an autograd function with a backward of its own.

    The arguments are those of `black_box`. Values and gradients are counted apart, by points.
    """
    return declare_function(function, Question(question, tuple(inputs), tuple(outputs), Box.GRAY), sizes)
