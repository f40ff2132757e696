"""Counts the messages and bytes of rounds from the two graphs of a grammar (essay: Nemirovski and Yudin; Remark 4).

Each player, oracle and loss is an owner that computes its own nodes. Operators without parameters are computed by their
consumer, functions of messages by their receiver, seeds (where gradients start) and taps (values that are sent on
unchanged) by the owner of their node of the Query graph.

A **message** is one output of a node that one owner computes and another owner needs. It counts once per receiving
owner, in each round in which the node is played. The transport sends these messages when every owner has a worker of
its own (the placement `spread`). The count itself needs no placement, no schedule and no process.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import prod

from antiphon.grammars.derived import Derivative
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
    """The graph that a message belongs to: the Query graph or the Response graph."""

    QUERY = "Q"
    RESPONSE = "R"


@dataclass(frozen=True)
class Hop:
    """A message from one owner to another, with the number of rounds in which it is sent.

    An owner is a player, an oracle or a loss. value: the name of the message, e.g. "Dense1" or "Loss *". bytes: size of
    one message. rounds: number of rounds in which the message is sent.
    locality: the class of a message of the Response graph. None for a message of the Query graph, because the messages
    of the Query graph define which owners are neighbours.
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
    """The messages and queries of a grammar over `rounds` rounds. Divide by `rounds` for the average round.

    queries: how often each oracle is asked. gradients: how often each owner is asked for a vector-Jacobian product, as
    a gray box, in the Response graph or as a value of the Query graph. steps: how many steps each owner of a scan
    computes one after another, in its queries. query_depth, response_depth: the length of the longest chain of messages
    in the Query graph and in the Response graph.
    """

    grammar: str
    rounds: int
    hops: tuple[Hop, ...]
    queries: Mapping[str, int]
    gradients: Mapping[str, int]
    query_depth: int
    response_depth: int
    steps: Mapping[str, int] = field(default_factory=dict)

    def messages(self, graph: Graph | None = None, localities: frozenset[Locality] | None = None) -> int:
        """Return the number of messages.

        graph: count only messages of this graph; None counts both graphs. localities: count only messages of these
        classes; None counts all classes.
        """
        return sum(
            hop.rounds
            for hop in self.hops
            if graph in (None, hop.graph) and (localities is None or hop.locality in localities)
        )

    def bytes(self, order: Order) -> int:
        """Number of bytes of all messages of this order (zeroth order: values; first order: gradients)."""
        return sum(hop.rounds * hop.bytes for hop in self.hops if hop.order is order)

    def __repr__(self) -> str:
        lines = [
            f"cost of grammar {self.grammar}, over {self.rounds} round{'s' * (self.rounds != 1)}:",
            f"  messages: {self.messages(Graph.QUERY)} of Q, {self.messages(Graph.RESPONSE)} of R",
            f"  bytes: {self.bytes(Order.ZEROTH)} zeroth order, {self.bytes(Order.FIRST)} first order",
            f"  depth: {self.query_depth} of Q, {self.response_depth} of R",
            *(f"  queries of {name}: {count}" for name, count in self.queries.items()),
            *(f"  steps of {name}: {count}" for name, count in self.steps.items()),
        ]
        return "\n".join(lines)


@typed
def cost(grammar: Grammar, rounds: range | None = None, moves: Moves | None = None) -> Cost:
    """Count the messages, bytes and queries of a grammar, and the depths of its graphs.

    rounds: the rounds to count. None: one whole period of the grammar's cadences, after all of them have begun; the
    averages are then those of a long run. moves: the cadences of players that do not move in every round (set by their
    agents).
    """
    rounds = steady(grammar, moves) if rounds is None else rounds
    asked = _counts(query_rounds(grammar.query), rounds)
    told = _counts(response_rounds(grammar, moves or {}), rounds)
    nodes = grammar.query.nodes
    oracles = {node.name: node.owner for node in nodes if node.kind is Kind.ORACLE}
    home = homes(grammar.query)
    products = {node.name: home[node.of] for node in grammar.response.nodes if isinstance(node, Product)}
    derived = {node.name: home[node.name] for node in nodes if isinstance(node.view, Derivative)}
    return Cost(
        grammar.name,
        len(rounds),
        (*_query_hops(grammar, home, asked), *_response_hops(grammar, home, told)),
        _by_owner(oracles, asked),
        _added(_by_owner(products, told), _by_owner(derived, asked)),
        query_depth(grammar),
        response_depth(grammar),
        _steps(grammar, home, asked),
    )


def query_depth(grammar: Grammar) -> int:
    """Length of the longest chain of messages between owners in the Query graph, each of which must wait for the
    previous one.
    """
    home = homes(grammar.query)
    depth: dict[str, int] = {}
    for node in grammar.query.nodes:
        above = (depth[port.node] + (home[port.node] != home[node.name]) for port in node.inputs)
        depth[node.name] = max(above, default=0)
    return max(depth.values(), default=0)


def response_depth(grammar: Grammar) -> int:
    """Length of the longest chain of messages in the Response graph, from one vector-Jacobian product to the next.

    Each node has a home, the owner that computes it. A message counts if the product or player that receives it has
    another home than the product, seed (start of a gradient) or tap (value sent on unchanged) that sends it. Functions
    of messages on the way do not count, because the receiver can compute them. Backpropagation through L players has
    depth L, whatever operators stand between them; one broadcast to L players has depth 1.
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


def _steps(grammar: Grammar, home: Mapping[str, str], asked: Mapping[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for node in grammar.query.nodes:
        if (steps := grammar.query.steps_of(node)) is not None:
            (count,) = EdgeType((steps,)).sized(grammar.query.sizes)
            found[home[node.name]] = found.get(home[node.name], 0) + count * asked[node.name]
    return found


def _query_hops(grammar: Grammar, home: Mapping[str, str], asked: Mapping[str, int]) -> list[Hop]:
    return [
        Hop(
            Graph.QUERY,
            repr(port),
            home[port.node],
            target,
            grammar.query.type_of(port).order,
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
    """Return, for each value that is sent to other owners than its own, the names of these owners.

    home: the owner of each node.
    """
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


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {
        name: one.get(name, 0) + other.get(name, 0) for name in (*one, *(each for each in other if each not in one))
    }
