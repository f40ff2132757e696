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

    function: made of torch operations, or an autograd function with its own backward. It takes one tensor per input,
    returns a tensor or a tuple of tensors, and has no state. A class or a `Factory` is called once, on the worker of
    the oracle, to make the function.
    inputs, outputs: types of the edges. sizes: sizes of the symbols in these types. question: name of the question.
    During a run, the oracle counts the points at which values and gradients are asked, separately.
    """
    return declare_function(function, Question(question, tuple(inputs), tuple(outputs), Box.GRAY), sizes)
