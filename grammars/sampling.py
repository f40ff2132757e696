"""Sample values to try operators on: drawn by type, or computed by the nodes upstream in a draft."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from antiphon.errors import FOREIGN
from antiphon.grammars.factory import Factory
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.query import Port
from antiphon.grammars.types import EdgeType, Sizes
from antiphon.grammars.walks import reached

Made: TypeAlias = tuple[Callable[[Factory], Callable[..., Any]], Factory]  # Any: operators may take and return anything
"""A function that makes an operator, and the factory that it takes."""

Upstream: TypeAlias = Callable[[str, Sizes], list[Tensor]]
"""A function of (kind, sizes) that returns the inputs that an operator would get. The kind is one of `PLAYED`."""


def _normal(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    if not (dtype.is_floating_point or dtype.is_complex):
        return torch.randint(0, 2, shape).to(dtype)  # a valid index or class of everything that has at least two
    return torch.randn(shape, dtype=dtype if dtype.is_complex else torch.float64).to(dtype)


def _unit(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    if not dtype.is_floating_point:
        return _normal(shape, dtype)
    return torch.rand(shape, dtype=torch.float64).mul_(0.9).add_(0.05).to(dtype)


def _zeros(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.zeros(shape, dtype=dtype)


DRAWN = {"normal": _normal, "unit": _unit, "zeros": _zeros}
"""Kinds of drawn values. "normal" suits most operators. "unit" is in (0, 1), for scales and probabilities. "zeros" is a
valid index of every table. Integers are 0 or 1."""

PLAYED = ("normal", "asked")
"""Kinds of values that players and operators upstream compute. The answers of oracles are normal draws ("normal") or
their real answers ("asked")."""


def draw(kind: str, type: EdgeType, sizes: Sizes) -> Tensor:
    """Draw a tensor of this type from torch's global random stream.

    kind: "normal", "unit" (numbers in (0, 1)) or "zeros". sizes: sizes of the symbolic dimensions.
    """
    return DRAWN[kind](type.sized(sizes), type.dtype)


@dataclass(frozen=True)
class _Node:
    """A node of a draft. make: makes the callable that computes the node's outputs; None for an oracle."""

    inputs: tuple[Port, ...]
    outputs: tuple[EdgeType, ...]
    make: Callable[[], Callable[..., Any]] | None  # Any: an operator may take and return anything
    oracle: tuple[OracleDeclaration, str] | None = None


class SampleValues:
    """Sample values of a draft's nodes.

    They are computed only when an operator refuses random values of the right type.
    """

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        self._played: dict[str, dict[Port, Tensor]] = {kind: {} for kind in PLAYED}

    def add(
        self,
        name: str,
        inputs: Sequence[Port],
        outputs: Sequence[EdgeType],
        made: Made | None = None,
        oracle: tuple[OracleDeclaration, str] | None = None,
    ) -> None:
        """Add a node of the draft.

        made: a function that makes the node's operator, and the factory that it takes; None for an oracle.

        oracle: the declaration, and the name of the question.
        """
        make = None if made is None else lambda: made[0](made[1])
        self._nodes[name] = _Node(tuple(inputs), tuple(outputs), make, oracle)

    def of(self, ports: Sequence[Port], kind: str, sizes: Sizes) -> list[Tensor]:
        """Compute sample values of `ports` with the nodes from which they are computed.

        If a node fails on its inputs, its values are drawn at random by type. kind: whether oracles are replaced by
        normal draws ("normal") or asked ("asked").
        """
        played = self._played[kind]
        needed = reached([port.node for port in ports], lambda name: [port.node for port in self._nodes[name].inputs])
        for name, node in self._nodes.items():
            if name in needed and Port(name) not in played:
                outputs = _checked(node, sizes, lambda node=node: self._play(node, kind))
                played |= {Port(name, index): value for index, value in enumerate(outputs)}
        return [played[port] for port in ports]

    def _play(self, node: _Node, kind: str) -> Sequence[Tensor]:
        inputs = [self._played[kind][port].clone() for port in node.inputs]
        if node.make is not None:
            outputs = node.make()(*inputs)
        elif node.oracle is not None and kind == "asked" and not inputs:
            outputs = _answer(*node.oracle)
        else:
            return ()
        return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


def _checked(node: _Node, sizes: Sizes, play: Callable[[], Sequence[Tensor]]) -> list[Tensor]:
    try:
        played = [value.detach() for value in play()]
    except FOREIGN:  # an operator may refuse these values with any error
        played = []
    expected = [(kind.sized(sizes), kind.dtype) for kind in node.outputs]
    if [(tuple(value.shape), value.dtype) for value in played] == expected:
        return played
    return [draw("normal", kind, sizes) for kind in node.outputs]


def _answer(declaration: OracleDeclaration, question: str) -> Sequence[Tensor]:
    oracle = declaration.make(seed=0)
    try:
        return [value.clone() for value in oracle.answer(question, (), 0)]
    finally:
        oracle.close()


def doubled(values: Sequence[Tensor], types: Sequence[EdgeType], symbol: str) -> list[Tensor]:
    """Concatenate each value with itself along every dimension that has this symbol in its type."""
    return [_doubled(value, type, symbol) for value, type in zip(values, types, strict=True)]


def _doubled(value: Tensor, type: EdgeType, symbol: str) -> Tensor:
    for index, size in enumerate(type.shape):
        if not isinstance(size, int) and size.name == symbol:
            value = torch.cat([value, value], index)
    return value
