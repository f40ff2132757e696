"""A function that is asked for its value and nothing else: zeroth-order information (essay, Definition 3)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from antiphon.grammars.factory import Factory
from antiphon.grammars.oracle import Box, OracleDeclaration, Question
from antiphon.grammars.typed import typed
from antiphon.grammars.types import EdgeType
from antiphon.oracles.function import FunctionOracle

Asked: TypeAlias = Callable[..., Any] | Factory
"""A function of tensors; or a class or factory, which makes one on the oracle's worker."""


@typed
def black_box(
    function: Asked,
    inputs: Sequence[EdgeType],
    outputs: Sequence[EdgeType],
    *,
    sizes: Mapping[str, int] | None = None,
    question: str = "value",
) -> OracleDeclaration:
    """An oracle that answers `function(*inputs)`, values only: no gradient passes through it.

    function: takes one tensor per input, returns a tensor or a tuple of them; it keeps nothing between queries. A class
    or a `Factory` is called once, on the oracle's worker, to make the function. sizes: of the symbols in the types.
    The live oracle counts its queries and their points, and raises OracleError for an answer that is not as declared,
    or not finite.
    """
    return declare_function(function, Question(question, tuple(inputs), tuple(outputs), Box.BLACK), sizes)


def declare_function(function: Asked, question: Question, sizes: Mapping[str, int] | None) -> OracleDeclaration:
    """The declaration of an oracle with one question, answered by a function."""
    # A class among the arguments would be described as itself; as a factory it is called where the oracle lives.
    made = Factory.of(function) if isinstance(function, (type, Factory)) else function
    named = tuple(sorted((sizes or {}).items()))
    return OracleDeclaration(Factory.of(FunctionOracle, made, question, named), (question,), named)
