"""Which nodes of a grammar are played in a round: the passes that rest, the players that do not move."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import lcm

from antiphon.grammars.cadence import Cadence
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.maps import add
from antiphon.grammars.response import Deliver, Map, Product, ResponseNode, Seed, Tap

Moves = Mapping[str, Cadence]
"""The rounds in which a player moves; every round, for players that it leaves out."""


@dataclass(frozen=True)
class Playing:
    """The nodes of Q and of R that are played in one round."""

    asked: frozenset[str]
    told: frozenset[str]


def playing(grammar: Grammar, round: int, moves: Moves) -> Playing:
    """A node of Q is asked when its pass plays. A node of R is told when what it needs is there and somebody whom it
    leads to moves: a response that nobody's cadence needs is not computed."""
    query = grammar.query
    active = {name for name, cadence in query.cadences.items() if cadence.active(round)}
    asked = frozenset(node.name for node in query.nodes if node.query_pass in active)
    possible: set[str] = set()
    for node in grammar.response.nodes:
        if _possible(node, asked, possible):
            possible.add(node.name)
    needed: set[str] = set()
    for node in reversed(grammar.response.nodes):
        if node.name in needed or (isinstance(node, Deliver) and moves.get(node.player, Cadence()).active(round)):
            needed |= {node.name, *(port.node for port in node.inputs)}
    return Playing(asked, frozenset(possible & needed))


def steady(grammar: Grammar, moves: Moves | None = None) -> range:
    """One whole period of the grammar's cadences, from the first round in which all of them have begun."""
    cadences = [*grammar.query.cadences.values(), *(moves or {}).values()]
    first = max(cadence.start for cadence in cadences)
    return range(first, first + lcm(*(cadence.every for cadence in cadences)))


def _possible(node: ResponseNode, asked: frozenset[str], possible: set[str]) -> bool:
    there = [port.node in possible for port in node.inputs]
    match node:
        case Seed(loss=port) | Tap(port=port):
            return port.node in asked
        case Product(of=name):
            return name in asked and all(there)
        case Map(operation=operation) if operation.target is add:
            return any(there)  # a message whose pass rests is left out of a sum
        case _:
            return all(there)
