"""Classifies the messages of R by how far they go: which of them are local to neighbours (essay, Remark 4)."""

from collections import defaultdict
from collections.abc import Mapping
from enum import StrEnum

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.query import Port, QueryGraph
from antiphon.grammars.types import Batch, EdgeType


class Locality(StrEnum):
    """How far a message of R goes, and what it is made of.

    Two owners are neighbours when one of them takes a value of the other in Q.

    LOCAL: goes to a neighbour; made of what the sender has from the queries and from the broadcast.
    BROADCAST: the one number per example that R sends to several owners, like a neuromodulator. It counts as local. If
    R has two or more such messages, none of them is the broadcast.
    RELAYED: goes to a neighbour, but is made of messages of R that had to travel first. Remark 4 does not call it
    local. Backpropagation's messages are of this kind, below the topmost one.
    DISTANT: goes to an owner that is no neighbour.
    """

    LOCAL = "local"
    BROADCAST = "broadcast"
    RELAYED = "relayed"
    DISTANT = "distant"


NEAR = frozenset({Locality.LOCAL, Locality.BROADCAST, Locality.RELAYED})
"""Messages between neighbours, and the broadcast."""

LOCAL = frozenset({Locality.LOCAL, Locality.BROADCAST})
"""The messages that Remark 4 calls local."""

Travels = Mapping[Port, tuple[str, ...]]
"""The other owners that each message of R goes to."""


def localities(
    grammar: Grammar, home: Mapping[str, str], told: Mapping[str, str], travels: Travels
) -> Mapping[tuple[Port, str], Locality]:
    """The locality of every message of R, by port and receiver. home, told: the homes of the nodes of Q and of R."""
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
    """The neighbours of each owner: a value travels between the two in Q, in either direction."""
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
    """Whether a value has one number per example, or one in total."""
    symbolic = [each for each in kind.shape if isinstance(each, Batch)]
    return len(symbolic) <= 1 and all(each.factor == 1 for each in symbolic) and not set(kind.shape) - {1, *symbolic}
