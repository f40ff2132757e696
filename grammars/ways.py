"""Finds which players the gradient of one term of an objective reaches, on its way from the losses to the inputs."""

from collections.abc import Mapping
from typing import NamedTuple, final

from antiphon.grammars.objective import Term
from antiphon.grammars.query import Kind, Port, QueryGraph


class Way(NamedTuple):
    """What happens to a gradient that arrives at a node of the Query graph.

    node: the node's name. heard: whether the node's player receives the gradient of its parameters. inputs: for each
    input of the node, the number of the way that the gradient then takes; 0 if no gradient is sent there.
    """

    node: str
    heard: bool
    inputs: tuple[int, ...]


@final
class Ways:
    """Gives a number to each `Way`, the same number to equal ways.

    Gradients of two terms that arrive at one node may be added if the rest of their ways is equal, and only then: from
    there on, they lead to the same players past the same held values. fixed: values through which no gradient passes.
    """

    def __init__(self, query: QueryGraph, fixed: frozenset[Port] = frozenset()) -> None:
        self._query, self._fixed = query, fixed
        self._numbers: dict[Way, int] = {}
        self._ways: list[Way] = []

    def of(self, term: Term) -> Mapping[Port, int]:
        """Return, for each value of the Query graph, the number of the way that the gradient of a term takes from it.

        The number is 0 if the gradient leads to no player of the term, or if the term holds the value fixed. No
        gradient passes through a clone.
        """
        found: dict[Port, int] = {}
        held = self._fixed.union(term.held)
        for node in self._query.nodes:
            inputs = () if node.kind is Kind.CLONE else tuple(found[port] for port in node.inputs)
            way = Way(node.name, node.learned and term.is_of(node.owner), inputs)
            number = self._number(way) if way.heard or any(inputs) else 0
            ports = (Port(node.name, index) for index in range(len(node.outputs)))
            found |= {port: 0 if port in held else number for port in ports}
        return found

    def __getitem__(self, number: int) -> Way:
        return self._ways[number - 1]

    def _number(self, way: Way) -> int:
        if way not in self._numbers:
            self._ways.append(way)
            self._numbers[way] = len(self._ways)
        return self._numbers[way]
