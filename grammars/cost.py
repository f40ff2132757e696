"""What a grammar's conversation costs, counted on its two graphs alone (essay: Nemirovski and Yudin, and Remark 4).

Everybody is at home with himself here: each player, each oracle and each loss is an owner of its own. Parameterless
operators live with their consumer, maps with whoever hears them, seeds and taps at their node (`homes`).

A **message** is a value that one owner makes and another needs: one output of one node, once for each of those others,
in each round in which the node is played. That is what the transport sends when every owner has a worker of its own
(the placement `spread`); here it is counted without a placement, a schedule or a process.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import prod

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.homes import hearers, homes, response_homes
from antiphon.grammars.locality import Locality, localities
from antiphon.grammars.playing import Moves, playing, steady
from antiphon.grammars.query import Kind, Node, Port
from antiphon.grammars.response import PARAMETERS, Product, ResponseNode, Seed, Tap
from antiphon.grammars.typed import typed
from antiphon.grammars.types import EdgeType, Order


class Graph(StrEnum):
    """The graph that a message belongs to."""

    QUERY = "Q"
    RESPONSE = "R"


@dataclass(frozen=True)
class Hop:
    """A value on its way from one owner to another, over the rounds that were counted.

    value: what travels, e.g. "Dense1" or "Loss *". bytes: of one message. rounds: in how many of the rounds it travels.
    locality: of a message of R; None in Q, whose messages make the neighbours.
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
    """What was counted over `rounds` rounds; divide by it for a round's average.

    queries: how often each oracle is asked. gradients: how often each owner is asked for a vector-Jacobian product,
    that is, as a gray box. depths: the longest chains of messages, see `query_depth` and `response_depth`.
    """

    grammar: str
    rounds: int
    hops: tuple[Hop, ...]
    queries: Mapping[str, int]
    gradients: Mapping[str, int]
    query_depth: int
    response_depth: int

    def messages(self, graph: Graph | None = None, localities: frozenset[Locality] | None = None) -> int:
        """How many messages, of one graph or of both, of some localities or of all."""
        return sum(
            hop.rounds
            for hop in self.hops
            if graph in (None, hop.graph) and (localities is None or hop.locality in localities)
        )

    def bytes(self, order: Order) -> int:
        """How many bytes of values of this order."""
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
    """Messages, bytes, queries and depths of a grammar.

    rounds: those that are counted; one whole period of its cadences if None, once all of them have begun, so that
    averages are those of a long run. moves: the cadence of players that do not move in every round (their agents').
    """
    rounds = steady(grammar, moves) if rounds is None else rounds
    asked, told = Counter[str](), Counter[str]()
    for round in rounds:
        played = playing(grammar, round, moves or {})
        asked.update(played.asked)
        told.update(played.told)
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
    """The longest chain of messages in Q: how many have to wait for one another before the last of them is asked."""
    home = homes(grammar.query)
    depth: dict[str, int] = {}
    for node in grammar.query.nodes:
        above = (depth[port.node] + (home[port.node] != home[node.name]) for port in node.inputs)
        depth[node.name] = max(above, default=0)
    return max(depth.values(), default=0)


def response_depth(grammar: Grammar) -> int:
    """The longest chain of messages in R, from one product to the next.

    A hop leads from the home of a product, a seed or a tap to the home of the product or the player that hears it.
    Maps on the way are fixed functions, which whoever hears can compute, so they add no hop; neither does what stays
    at home. Backpropagation through L players has depth L, whatever operators stand between them; one broadcast to L
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
    """Every value that somebody else needs, with those others, each once."""
    found: dict[Port, tuple[str, ...]] = {}
    for node in nodes:
        for port in node.inputs:
            there = found.get(port, ())
            if home[node.name] != home[port.node] and home[node.name] not in there:
                found[port] = (*there, home[node.name])
    return found


def _bytes(grammar: Grammar, kind: EdgeType) -> int:
    return prod(kind.sized(grammar.query.sizes)) * kind.dtype.itemsize


def _by_owner(owners: Mapping[str, str], times: Mapping[str, int]) -> dict[str, int]:
    found = dict.fromkeys(owners.values(), 0)
    for name, owner in owners.items():
        found[owner] += times[name]
    return found
