"""Gray boxes: functions that answer with values and with vector-Jacobian products (essay, Definition 3)."""

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
    """Declare an oracle that answers with `function(*inputs)`, through which gradients pass.

    The function is made of torch operations, or is an autograd function with its own backward. The arguments are those
    of `black_box`. The live oracle counts the points at which values and gradients are asked, separately.
    """
    return declare_function(function, Question(question, tuple(inputs), tuple(outputs), Box.GRAY), sizes)
