"""A grammar in double precision: the same graphs and edits, so that rounding does not hide errors."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, final

import torch
from torch import Tensor, nn

from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.oracle import OracleDeclaration, Question, State
from antiphon.grammars.query import NamedOracle, Node, Parameter, PlayerDeclaration, QueryGraph
from antiphon.grammars.response import Map, ResponseGraph
from antiphon.grammars.types import EdgeType

Held = TypeVar("Held")


def in_float64(grammar: Grammar) -> Grammar:
    """The grammar with every float32 made float64: parameters, edges, and the tensors that operators carry.

    Players start from the same numbers; an oracle goes on computing in its own precision, and what it takes and answers
    is converted. A grammar without any float32 is returned as it is.
    """
    query = grammar.query
    kinds = [each for node in query.nodes for each in node.outputs]
    kinds += [EdgeType((), parameter.dtype) for player in query.players for parameter in player.parameters]
    if not any(each.dtype is torch.float32 for each in kinds):
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


def widened(value: Any) -> Any:  # Any: whatever stands in a factory or an answer
    """Float32 tensors and dtypes made float64, in lists, tuples and mappings too; everything else as it is."""
    match value:
        case Tensor():
            return value.double() if value.dtype is torch.float32 else value
        case torch.dtype():
            return torch.float64 if value is torch.float32 else value
        case Factory():
            return Factory(value.target, widened(value.arguments), widened(value.keywords))
        case Mapping():
            return {key: widened(item) for key, item in value.items()}
        case list() | tuple() if not hasattr(value, "_fields"):
            return type(value)(map(widened, value))
        case _:
            return value


def make_double(factory: Factory) -> Any:  # Any: a module or a callable
    """What the factory makes, its parameters and buffers in double precision."""
    made = factory()
    return made.double() if isinstance(made, nn.Module) else made


@final
class DoubleOracle:
    """An oracle of single precision, asked and answering in double."""

    def __init__(self, inner: OracleDeclaration, *, seed: int) -> None:
        self._inner, self._kinds = inner.make(seed), {each.name: each.inputs for each in inner.questions}

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """As the inner oracle."""
        kinds = self._kinds[question]
        told = [each.to(kind.dtype) for each, kind in zip(inputs, kinds, strict=True)]
        answers = self._inner.answer(question, told, round)
        return tuple(map(widened, (answers,) if isinstance(answers, Tensor) else answers))

    def state(self) -> State:
        """Of the inner oracle."""
        return self._inner.state()

    def load(self, state: State) -> None:
        """Of the inner oracle."""
        self._inner.load(state)

    def report(self) -> Mapping[str, float]:
        """Of the inner oracle."""
        return self._inner.report()

    def close(self) -> None:
        """Of the inner oracle."""
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
    return replace(player, factory=Factory.of(make_double, widened(player.factory)), parameters=parameters)


def _oracle(declaration: OracleDeclaration) -> OracleDeclaration:
    questions = tuple(
        Question(each.name, _edges(each.inputs), _edges(each.outputs), each.box) for each in declaration.questions
    )
    if questions == declaration.questions:
        return declaration
    return OracleDeclaration(Factory.of(DoubleOracle, declaration), questions, declaration.sizes)


def _operation(factory: Factory) -> Factory:
    """An operator of the same values; a module class makes a module in double precision."""
    wide, target = widened(factory), factory.target
    if isinstance(target, type) and issubclass(target, nn.Module):
        return Factory.of(_Module, wide)
    return wide


@final
class _Module(nn.Module):
    """A parameterless module in double precision: a class, so that it is made before it is called."""

    def __init__(self, factory: Factory) -> None:
        super().__init__()
        self.inner = make_double(factory)

    def forward(self, *values: Tensor) -> Any:  # Any: a tensor or a tuple of them
        """As the inner module."""
        return self.inner(*values)
