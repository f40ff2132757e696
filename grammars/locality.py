"""Classifies the messages of a Response graph: which of them stay between neighbours (essay, Remark 4)."""

from collections import defaultdict
from collections.abc import Mapping
from enum import StrEnum

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.query import Port, QueryGraph
from antiphon.grammars.types import Batch, EdgeType


class Locality(StrEnum):
    """The class of a message of the Response graph (R), by its receiver and by the values from which it is computed.

    Two owners (players, oracles or losses) are neighbours if one of them takes a value of the other in the Query graph.

    LOCAL: the message goes to a neighbour. The sender computes it from values of the Query graph and from the
    broadcast. BROADCAST: the message has one number per example, and R sends it to several owners, like a
    neuromodulator. It counts as local. If R has two or more such messages, none of them is the broadcast.
    RELAYED: the message goes to a neighbour, but the sender first had to receive other messages of R. Remark 4 does not
    call it local. In backpropagation, all messages are of this class except that of the loss.
    DISTANT: the message goes to an owner that is no neighbour.
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
"""For each message of the Response graph, the other owners that receive it."""


def localities(
    grammar: Grammar, home: Mapping[str, str], told: Mapping[str, str], travels: Travels
) -> Mapping[tuple[Port, str], Locality]:
    """Return the locality of every message of a grammar's Response graph, by (port, name of the receiver).

    home: the owner that computes each node of the Query graph. told: the owner that computes each node of the Response
    graph. travels: for each message, the owners that receive it.
    """
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
    """Return the neighbours of each owner: the owners to which it sends, or from which it takes, a value in the Query
    graph.
    """
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
    """Whether a value has one number per example, or one number in total."""
    symbolic = [each for each in kind.shape if isinstance(each, Batch)]
    return len(symbolic) <= 1 and all(each.factor == 1 for each in symbolic) and not set(kind.shape) - {1, *symbolic}
