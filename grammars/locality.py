"""Which messages of R are local to neighbours (essay, Remark 4)."""

from collections import defaultdict
from collections.abc import Mapping
from enum import StrEnum

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.query import Port, QueryGraph
from antiphon.grammars.types import Batch, EdgeType


class Locality(StrEnum):
    """How far a message of R goes, and what it took to make it.

    Two owners are neighbours when one of them takes a value of the other in Q.

    LOCAL: to a neighbour, made of what the sender has from the queries alone, and from the broadcast.
    BROADCAST: the one number per example that R tells to several owners, like a neuromodulator. It is local to
    everybody; there is one at most, for of two or more nobody could say which is meant.
    RELAYED: to a neighbour, but made of messages of R that had to travel first. Remark 4 does not call this local:
    backpropagation's messages are of this kind, below the topmost.
    DISTANT: to somebody who is no neighbour.
    """

    LOCAL = "local"
    BROADCAST = "broadcast"
    RELAYED = "relayed"
    DISTANT = "distant"


NEAR = frozenset({Locality.LOCAL, Locality.BROADCAST, Locality.RELAYED})
"""Messages between neighbours, and the broadcast."""

LOCAL = frozenset({Locality.LOCAL, Locality.BROADCAST})
"""What Remark 4 calls local."""

Travels = Mapping[Port, tuple[str, ...]]
"""To which other owners each message of R goes."""


def localities(
    grammar: Grammar, home: Mapping[str, str], told: Mapping[str, str], travels: Travels
) -> Mapping[tuple[Port, str], Locality]:
    """The locality of every message of R, by its port and its receiver. home, told: where nodes of Q and R are."""
    near = neighbours(grammar.query, home)
    broadcast = _broadcast(grammar, travels)
    relayed: set[str] = set()
    for node in grammar.response.nodes:
        arriving = {port for port in node.inputs if told[port.node] != told[node.name]} - {broadcast}
        if arriving or relayed.intersection(port.node for port in node.inputs if port != broadcast):
            relayed.add(node.name)
    found: dict[tuple[Port, str], Locality] = {}
    for port, receivers in travels.items():
        for receiver in receivers:
            if port == broadcast:
                found[port, receiver] = Locality.BROADCAST
            elif receiver not in near[told[port.node]]:
                found[port, receiver] = Locality.DISTANT
            else:
                found[port, receiver] = Locality.RELAYED if port.node in relayed else Locality.LOCAL
    return found


def neighbours(query: QueryGraph, home: Mapping[str, str]) -> Mapping[str, frozenset[str]]:
    """The owners between whom a value travels in Q, in either direction."""
    found: dict[str, set[str]] = defaultdict(set)
    for node in query.nodes:
        for port in node.inputs:
            one, other = home[port.node], home[node.name]
            if one != other:
                found[one].add(other)
                found[other].add(one)
    return defaultdict(frozenset, {owner: frozenset(others) for owner, others in found.items()})


def _broadcast(grammar: Grammar, travels: Travels) -> Port | None:
    types = grammar.message_types
    several = [port for port, receivers in travels.items() if len(receivers) > 1 and _one_number(types[port])]
    return several[0] if len(several) == 1 else None


def _one_number(kind: EdgeType) -> bool:
    """Whether a value has one number per example, or one in all."""
    symbolic = [each for each in kind.shape if isinstance(each, Batch)]
    return len(symbolic) <= 1 and all(each.factor == 1 for each in symbolic) and not set(kind.shape) - {1, *symbolic}
