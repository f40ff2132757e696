"""The rounds in which each node of a grammar is played: some passes rest, and some players do not move."""

from collections.abc import Mapping
from functools import reduce
from math import lcm
from operator import and_, or_

from antiphon.grammars.cadence import Cadence
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.query import QueryGraph
from antiphon.grammars.response import Deliver, ResponseNode, Sum, asked_by
from antiphon.grammars.when import ALWAYS, NEVER, When

Moves = Mapping[str, Cadence]
"""The rounds in which each player moves, by name. A player without an entry moves in every round."""


def query_rounds(query: QueryGraph) -> Mapping[str, When]:
    """Return the rounds in which each node of the Query graph is played: the rounds of the node's pass."""
    return {node.name: When.at(query.cadences[node.query_pass]) for node in query.nodes}


def response_rounds(grammar: Grammar, moves: Moves) -> Mapping[str, When]:
    """Return the rounds in which each node of the Response graph is played, by name.

    A node is played if the values that it needs were played, and if its message leads to a player that moves in the
    round. moves: the rounds in which each player moves.
    """
    nodes, asked = grammar.response.nodes, query_rounds(grammar.query)
    possible: dict[str, When] = {}
    for node in nodes:
        possible[node.name] = _possible(node, asked, possible)
    needed = {node.name: NEVER for node in nodes}
    for node in reversed(nodes):
        if isinstance(node, Deliver):
            needed[node.name] = When.at(moves.get(node.player, Cadence()))
        for port in node.inputs:
            needed[port.node] |= needed[node.name]
    return {name: possible[name] & needed[name] for name in needed}


def steady(grammar: Grammar, moves: Moves | None = None) -> range:
    """Return one whole period of the grammar's cadences, starting at the first round in which all of them have begun.

    moves: the cadences of players that do not move in every round.
    """
    cadences = [*grammar.query.cadences.values(), *(moves or {}).values()]
    first = max(cadence.start for cadence in cadences)
    return range(first, first + lcm(*(cadence.every for cadence in cadences)))


def _possible(node: ResponseNode, asked: Mapping[str, When], possible: Mapping[str, When]) -> When:
    inputs = [possible[port.node] for port in node.inputs]
    if isinstance(node, Sum):  # it leaves out messages whose pass rests
        return reduce(or_, inputs)
    return reduce(and_, [*(asked[name] for name in asked_by(node)), *inputs], ALWAYS)
