"""Which nodes of a grammar are played in a round: some passes rest, and some players do not move."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import lcm

from antiphon.grammars.cadence import Cadence
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.response import Deliver, Product, ResponseNode, Seed, Sum, Tap

Moves = Mapping[str, Cadence]
"""The rounds in which each player moves. A player that is not listed moves in every round."""


@dataclass(frozen=True)
class Playing:
    """The nodes of Q and of R that are played in one round."""

    asked: frozenset[str]
    told: frozenset[str]


def playing(grammar: Grammar, round: int, moves: Moves) -> Playing:
    """The nodes that are played in `round`.

    A node of Q is played when its pass is active. A node of R is played when its inputs are available and it leads to a
    player that moves in this round.
    """
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
        case Sum():
            return any(there)  # a sum leaves out messages whose pass rests
        case _:
            return all(there)
