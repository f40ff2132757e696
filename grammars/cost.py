"""Counts the messages and bytes of rounds from the two graphs of a grammar (essay: Nemirovski and Yudin; Remark 4).

Each player, oracle and loss is an owner with a place of its own. Parameterless operators are computed at their
consumer, maps at their receiver, seeds and taps at their node (see `homes`).

A **message** is one output of a node that one owner computes and another owner needs. It counts once per receiving
owner, in each round in which the node is played. The transport sends these messages when every owner has a worker of
its own (the placement `spread`). Here they are counted without a placement, a schedule or a process.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import prod

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.homes import hearers, homes, response_homes
from antiphon.grammars.locality import Locality, localities
from antiphon.grammars.playing import Moves, query_rounds, response_rounds, steady
from antiphon.grammars.query import Kind, Node, Port
from antiphon.grammars.response import PARAMETERS, Product, ResponseNode, Seed, Tap
from antiphon.grammars.typed import typed
from antiphon.grammars.types import EdgeType, Order
from antiphon.grammars.when import When


class Graph(StrEnum):
    """The graph that a message belongs to."""

    QUERY = "Q"
    RESPONSE = "R"


@dataclass(frozen=True)
class Hop:
    """A message from one owner to another, with the number of rounds in which it is sent.

    value: its name, e.g. "Dense1" or "Loss *". bytes: of one message. rounds: number of rounds in which it travels.
    locality: of a message of R. None in Q, because the messages of Q define the neighbours.
    """

    graph: Graph
    value: str
    source: str
    target: str
    order: Order
    bytes: int
    rounds: int
    locality: Locality | None = None


@typed
@dataclass(frozen=True)
class Cost:
    """The cost of a grammar over `rounds` rounds. Divide by `rounds` for the average round.

    queries: how often each oracle is asked. gradients: how often each owner is asked for a vector-Jacobian product, as
    a gray box. query_depth, response_depth: the longest chains of messages, see the functions of these names.
    """

    grammar: str
    rounds: int
    hops: tuple[Hop, ...]
    queries: Mapping[str, int]
    gradients: Mapping[str, int]
    query_depth: int
    response_depth: int

    def messages(self, graph: Graph | None = None, localities: frozenset[Locality] | None = None) -> int:
        """Number of messages. graph: None counts those of both graphs. localities: None counts those of all."""
        return sum(
            hop.rounds
            for hop in self.hops
            if graph in (None, hop.graph) and (localities is None or hop.locality in localities)
        )

    def bytes(self, order: Order) -> int:
        """Number of bytes of all messages of this order."""
        return sum(hop.rounds * hop.bytes for hop in self.hops if hop.order is order)

    def __repr__(self) -> str:
        lines = [
            f"cost of grammar {self.grammar}, over {self.rounds} round{'s' * (self.rounds != 1)}:",
            f"  messages: {self.messages(Graph.QUERY)} of Q, {self.messages(Graph.RESPONSE)} of R",
            f"  bytes: {self.bytes(Order.ZEROTH)} zeroth order, {self.bytes(Order.FIRST)} first order",
            f"  depth: {self.query_depth} of Q, {self.response_depth} of R",
            *(f"  queries of {name}: {count}" for name, count in self.queries.items()),
        ]
        return "\n".join(lines)


@typed
def cost(grammar: Grammar, rounds: range | None = None, moves: Moves | None = None) -> Cost:
    """Count the messages, bytes and queries of a grammar, and the depths of its graphs.

    rounds: those to count. None: one whole period of its cadences, after all of them have begun, which gives the
    averages of a long run. moves: the cadences of players that do not move in every round (set by their agents).
    """
    rounds = steady(grammar, moves) if rounds is None else rounds
    asked = _counts(query_rounds(grammar.query), rounds)
    told = _counts(response_rounds(grammar, moves or {}), rounds)
    nodes = grammar.query.nodes
    oracles = {node.name: node.owner for node in nodes if node.kind is Kind.ORACLE}
    home = homes(grammar.query)
    products = {node.name: home[node.of] for node in grammar.response.nodes if isinstance(node, Product)}
    return Cost(
        grammar.name,
        len(rounds),
        (*_query_hops(grammar, home, asked), *_response_hops(grammar, home, told)),
        _by_owner(oracles, asked),
        _by_owner(products, told),
        query_depth(grammar),
        response_depth(grammar),
    )


def query_depth(grammar: Grammar) -> int:
    """Length of the longest chain of messages in Q in which each message has to wait for the previous message."""
    home = homes(grammar.query)
    depth: dict[str, int] = {}
    for node in grammar.query.nodes:
        above = (depth[port.node] + (home[port.node] != home[node.name]) for port in node.inputs)
        depth[node.name] = max(above, default=0)
    return max(depth.values(), default=0)


def response_depth(grammar: Grammar) -> int:
    """Length of the longest chain of messages in R, from one product to the next.

    A hop leads from the home of a product, seed or tap to the home of the product or player that receives its message.
    A hop within one home does not count, nor do maps on the way: they are fixed functions that the receiver can
    compute. Backpropagation through L players has depth L, whatever operators stand between them; one broadcast to L
    players has depth 1.
    """
    home, heard = homes(grammar.query), hearers(grammar.response)
    depth: dict[str, int] = {}
    for node in grammar.response.nodes:
        match node:
            case Product(of=name) | Seed(loss=Port(node=name)) | Tap(port=Port(node=name)):
                source = home[name]
            case _:
                continue
        depth.setdefault(node.name, 0)
        for hearer in heard[node.name]:
            hop = source != (home[hearer.of] if isinstance(hearer, Product) else hearer.player)
            depth[hearer.name] = max(depth.get(hearer.name, 0), depth[node.name] + hop)
    return max(depth.values(), default=0)


def _query_hops(grammar: Grammar, home: Mapping[str, str], asked: Mapping[str, int]) -> list[Hop]:
    return [
        Hop(
            Graph.QUERY,
            repr(port),
            home[port.node],
            target,
            Order.ZEROTH,
            _bytes(grammar, grammar.query.type_of(port)),
            asked[port.node],
        )
        for port, targets in _travels(grammar.query.nodes, home).items()
        for target in targets
    ]


def _response_hops(grammar: Grammar, home: Mapping[str, str], told: Mapping[str, int]) -> list[Hop]:
    players = {player.name: player.name for player in grammar.query.players}
    at = response_homes(grammar, home, players)
    travels = _travels(grammar.response.nodes, at)
    found = localities(grammar, home, at, travels)
    types = grammar.message_types
    return [
        Hop(
            Graph.RESPONSE,
            f"{port.node}.parameters" if port.index == PARAMETERS else repr(port),
            at[port.node],
            target,
            types[port].order,
            _bytes(grammar, types[port]),
            told[port.node],
            found[port, target],
        )
        for port, targets in travels.items()
        for target in targets
    ]


def _travels(nodes: Sequence[Node | ResponseNode], home: Mapping[str, str]) -> dict[Port, tuple[str, ...]]:
    """For every value that other owners need, the names of these owners, each once."""
    found: dict[Port, tuple[str, ...]] = {}
    for node in nodes:
        for port in node.inputs:
            there = found.get(port, ())
            if home[node.name] != home[port.node] and home[node.name] not in there:
                found[port] = (*there, home[node.name])
    return found


def _bytes(grammar: Grammar, kind: EdgeType) -> int:
    return prod(kind.sized(grammar.query.sizes)) * kind.dtype.itemsize


def _counts(whens: Mapping[str, When], rounds: range) -> Mapping[str, int]:
    counts = {when: sum(map(when.active, rounds)) for when in set(whens.values())}
    return {name: counts[when] for name, when in whens.items()}


def _by_owner(owners: Mapping[str, str], times: Mapping[str, int]) -> dict[str, int]:
    found = dict.fromkeys(owners.values(), 0)
    for name, owner in owners.items():
        found[owner] += times[name]
    return found
