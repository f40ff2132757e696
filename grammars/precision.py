"""Rewrites a grammar in double precision, with the same graphs and edits. Rounding then does not hide errors.

The new grammar has to be played within `in_double`, which converts the computations of modules and operators.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, final

from torch import Tensor, nn

from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.inference import make_operator
from antiphon.grammars.oracle import Box, OracleDeclaration, Question, State
from antiphon.grammars.promotion import WIDE, as_declared, in_double, widened
from antiphon.grammars.query import NamedOracle, Node, Parameter, PlayerDeclaration, QueryGraph
from antiphon.grammars.response import Map, ResponseGraph
from antiphon.grammars.types import EdgeType


def in_float64(grammar: Grammar) -> Grammar:
    """Convert a grammar to float64 (complex128 for complex numbers): parameters, edges, and tensors in operators.

    A grammar without narrower floats is returned unchanged. The initial parameters are the same numbers. A black-box
    oracle still computes in its own precision; its inputs and answers are converted.
    """
    query = grammar.query
    kinds = {each.dtype for node in query.nodes for each in node.outputs}
    kinds |= {parameter.dtype for player in query.players for parameter in player.parameters}
    if kinds.isdisjoint(WIDE):
        return grammar
    wide = QueryGraph(
        tuple(map(_node, query.nodes)),
        tuple(map(_player, query.players)),
        tuple(NamedOracle(each.name, _oracle(each.declaration)) for each in query.oracles),
        query.clones,
        query.passes,
    )
    response = ResponseGraph(
        tuple(
            replace(node, operation=_operation(node.operation)) if isinstance(node, Map) else node
            for node in grammar.response.nodes
        )
    )
    return Grammar(grammar.name, wide, response, grammar.objective, grammar.guarantee)


def make_double(factory: Factory) -> nn.Module:
    """Make the module of a player's factory, and convert it to double."""
    with as_declared():
        made = factory()
    return _doubled(made)


make_double.is_wrapper = True  # pyright: ignore[reportFunctionMemberAccess] - read by `cell_of`


def _doubled(module: nn.Module) -> nn.Module:
    """Convert parameters and buffers of a module to double, as `Module.to` does, and return it. Shared tensors stay
    shared.
    """
    kept: dict[int, tuple[Tensor, Tensor]] = {}  # keeps the narrow ones alive, so that ids stay unique
    return module._apply(lambda each: kept.setdefault(id(each), (each, widened(each)))[1])


@final
class DoubleOracle:
    """An oracle that wraps an oracle of single precision: inputs and answers are in double.

    A gray (differentiable) inner oracle also computes in double.
    """

    def __init__(self, inner: OracleDeclaration, *, seed: int) -> None:
        self._questions = {each.name: each for each in inner.questions}
        with as_declared():
            self._inner = inner.make(seed)

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Return the answer of the wrapped oracle, converted to double."""
        asked = self._questions[question]
        with as_declared() if asked.box is Box.BLACK else contextlib.nullcontext():
            told = [each.to(kind.dtype) for each, kind in zip(inputs, asked.inputs, strict=True)]
            answers = self._inner.answer(question, told, round)
            return widened((answers,) if isinstance(answers, Tensor) else tuple(answers))

    def state(self) -> State:
        """Return the state of the wrapped oracle."""
        return self._inner.state()

    def load(self, state: State) -> None:
        """Load a state of the wrapped oracle."""
        self._inner.load(state)

    def report(self) -> Mapping[str, float]:
        """Return the report of the wrapped oracle."""
        return self._inner.report()

    def close(self) -> None:
        """Close the wrapped oracle."""
        self._inner.close()


def _edge(kind: EdgeType) -> EdgeType:
    return EdgeType(kind.shape, widened(kind.dtype), kind.order)


def _edges(kinds: Sequence[EdgeType]) -> tuple[EdgeType, ...]:
    return tuple(map(_edge, kinds))


def _node(node: Node) -> Node:
    operator = None if node.operator is None else _operation(node.operator)
    return replace(node, outputs=_edges(node.outputs), operator=operator)


def _player(player: PlayerDeclaration) -> PlayerDeclaration:
    parameters = tuple(Parameter(each.name, each.shape, widened(each.dtype)) for each in player.parameters)
    return replace(player, factory=Factory.of(make_double, player.factory), parameters=parameters)


def _oracle(declaration: OracleDeclaration) -> OracleDeclaration:
    questions = tuple(
        Question(each.name, _edges(each.inputs), _edges(each.outputs), each.box) for each in declaration.questions
    )
    if questions == declaration.questions:
        return declaration
    return OracleDeclaration(Factory.of(DoubleOracle, declaration), questions, declaration.sizes)


def _operation(factory: Factory) -> Factory:
    """Return the factory of the same operator in double precision.

    Functions of torch and antiphon already compute in the dtype of their inputs, so only their arguments are converted.
    """
    home = getattr(factory.target, "__module__", "").partition(".")[0]
    if not isinstance(factory.target, type) and home in ("torch", "antiphon"):
        return Factory(factory.target, widened(factory.arguments), widened(factory.keywords))
    return Factory.of(DoubleOperator, factory)


@final
class DoubleOperator(nn.Module):
    """An operator without parameters that wraps another one and returns its outputs in double.

    It is a class, so that the wrapped operator is made only once.
    """

    is_wrapper = True
    """Read by `cell_of`."""

    def __init__(self, factory: Factory) -> None:
        super().__init__()
        with as_declared():
            made = make_operator(factory)
        self.inner = _doubled(made) if isinstance(made, nn.Module) else made

    def forward(self, *values: Tensor) -> Any:  # Any: a tensor or a tuple of them
        """Return the outputs of the wrapped operator, converted to double."""
        with in_double():
            return widened(self.inner(*values))
