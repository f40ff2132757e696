"""Black boxes: functions that answer with values only, zeroth-order information (essay, Definition 3)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from antiphon.grammars.factory import Factory
from antiphon.grammars.oracle import Box, OracleDeclaration, Question
from antiphon.grammars.typed import typed
from antiphon.grammars.types import EdgeType
from antiphon.oracles.function import FunctionOracle

Asked: TypeAlias = Callable[..., Any] | Factory
"""A function of tensors, or a class or factory that makes such a function on the worker of the oracle."""


@typed
def black_box(
    function: Asked,
    inputs: Sequence[EdgeType],
    outputs: Sequence[EdgeType],
    *,
    sizes: Mapping[str, int] | None = None,
    question: str = "value",
) -> OracleDeclaration:
    """Declare an oracle that answers with the values `function(*inputs)`; no gradient passes through it.

    function: takes one tensor per input, and returns a tensor or a tuple of tensors. It has no state. A class or a
    `Factory` is called once, on the worker of the oracle, to make the function.
    inputs, outputs: types of the edges. sizes: sizes of the symbols in these types. question: name of the question.
    During a run, the oracle counts its queries and their points (rows of the batch). It raises OracleError for answers
    that are not finite or not as declared.
    """
    return declare_function(function, Question(question, tuple(inputs), tuple(outputs), Box.BLACK), sizes)


def declare_function(function: Asked, question: Question, sizes: Mapping[str, int] | None) -> OracleDeclaration:
    """Declare an oracle with one question, which it answers by calling `function`.

    sizes: sizes of the symbols in the types of the question.
    """
    # `Factory.of` would pass a class on as it is. Inside a factory, the class is called on the worker of the oracle.
    made = Factory.of(function) if isinstance(function, (type, Factory)) else function
    named = tuple(sorted((sizes or {}).items()))
    return OracleDeclaration(Factory.of(FunctionOracle, made, question, named), (question,), named)
