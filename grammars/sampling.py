"""Values to try operators on: drawn by their types, or played by what stands above an operator in a draft."""

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

Made: TypeAlias = tuple[Callable[[Factory], Callable[..., Any]], Factory]  # Any: operators take and play what they will
"""How an operator is made, and of what."""

Upstream: TypeAlias = Callable[[str, Sizes], list[Tensor]]
"""The inputs of an operator as they would be played at these sizes; the kind is one of `PLAYED`."""


def _normal(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    if not (dtype.is_floating_point or dtype.is_complex):
        return torch.randint(0, 2, shape).to(dtype)  # an index or a class of whatever has two of them
    return torch.randn(shape, dtype=dtype if dtype.is_complex else torch.float64).to(dtype)


def _unit(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    if not dtype.is_floating_point:
        return _normal(shape, dtype)
    return torch.rand(shape, dtype=torch.float64).mul_(0.9).add_(0.05).to(dtype)


def _zeros(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.zeros(shape, dtype=dtype)


DRAWN = {"normal": _normal, "unit": _unit, "zeros": _zeros}
"""Kinds of values. Normal ones suit most operators; scales and probabilities lie in (0, 1); zero is any table's index.
Integers are 0 or 1."""

PLAYED = ("normal", "asked")
"""What oracles answer, where players and operators are asked themselves: normal values, or what they do answer."""


def draw(kind: str, type: EdgeType, sizes: Sizes) -> Tensor:
    """A value of this type, of one of the kinds in `DRAWN`, from torch's global stream."""
    return DRAWN[kind](type.sized(sizes), type.dtype)


@dataclass(frozen=True)
class _Node:
    """A node of a draft. play: makes what computes its outputs; None for an oracle."""

    inputs: tuple[Port, ...]
    outputs: tuple[EdgeType, ...]
    make: Callable[[], Callable[..., Any]] | None  # Any: an operator takes and plays what it will
    oracle: tuple[OracleDeclaration, str] | None = None


class Samples:
    """What the nodes of a draft play on sampled values, asked when an operator needs values of its very inputs."""

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
        """A node of the draft. made: how it is made, and of what. oracle: it asks this question of it."""
        make = None if made is None else lambda: made[0](made[1])
        self._nodes[name] = _Node(tuple(inputs), tuple(outputs), make, oracle)

    def of(self, ports: Sequence[Port], kind: str, sizes: Sizes) -> list[Tensor]:
        """What these ports play. Drawn by its type instead: what an operator above refuses to play."""
        played, needed = self._played[kind], self._above(ports)
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

    def _above(self, ports: Sequence[Port]) -> set[str]:
        found: set[str] = set()
        waiting = [port.node for port in ports]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += [port.node for port in self._nodes[name].inputs]
        return found


def _checked(node: _Node, sizes: Sizes, play: Callable[[], Sequence[Tensor]]) -> list[Tensor]:
    try:
        played = [value.detach() for value in play()]
    except FOREIGN:  # any operator may refuse these values in its own way
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
    """The same values, each twice along the dimensions of this symbol."""
    return [_doubled(value, type, symbol) for value, type in zip(values, types, strict=True)]


def _doubled(value: Tensor, type: EdgeType, symbol: str) -> Tensor:
    for index, size in enumerate(type.shape):
        if not isinstance(size, int) and size.name == symbol:
            value = torch.cat([value, value], index)
    return value
