"""The home of each node of the Query graph and the Response graph: the player, oracle or loss that computes the
node.
"""

from collections.abc import Mapping

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.query import Kind, Node, QueryGraph
from antiphon.grammars.response import Deliver, Map, Product, ResponseGraph, Seed, Sum, Tap


def homes(query: QueryGraph) -> Mapping[str, str]:
    """Return the home of each node of the Query graph: the player, oracle or loss that computes the node.

    The home of a clone is its player. The home of an operator without parameters is that of its first consumer; without
    a consumer, that of its first input.
    """
    players = {clone.name: clone.player for clone in query.clones}
    found = {
        node.name: node.name if node.kind is Kind.LOSS else players.get(node.owner, node.owner)
        for node in query.nodes
        if node.kind is not Kind.OPERATOR
    }
    for node in reversed(query.nodes):
        if node.kind is Kind.OPERATOR:
            found[node.name] = _beside_consumer(query, node, found)
    return found


def response_homes(grammar: Grammar, asked: Mapping[str, str], told: Mapping[str, str]) -> Mapping[str, str]:
    """Return the home of each node of the Response graph: the owner or worker that computes the node.

    asked: the home of each node of the Query graph. told: the home at which each player receives its messages.
    A vector-Jacobian product, a seed (the start of a gradient) and a tap (a value that is sent on unchanged) have the
    home of their node of the Query graph. A function of messages (`Map`) or a sum is computed at the home that receives
    it. If several homes receive it, it is computed at the home of its first input, so that each receiver is one message
    away.
    """
    heard = hearers(grammar.response)
    found: dict[str, str] = {}
    for node in grammar.response.nodes:
        match node:
            case Product(of=name):
                found[node.name] = asked[name]
            case Seed(loss=port) | Tap(port=port):
                found[node.name] = asked[port.node]
            case Deliver(player=player):
                found[node.name] = told[player]
            case Sum(inputs=inputs) | Map(inputs=inputs):
                places = {
                    asked[each.of] if isinstance(each, Product) else told[each.player] for each in heard[node.name]
                }
                found[node.name] = places.pop() if len(places) == 1 else found[inputs[0].node]
    return found


def hearers(response: ResponseGraph) -> Mapping[str, tuple[Product | Deliver, ...]]:
    """Return, for each node of the Response graph, the vector-Jacobian products and deliveries to players that its
    message reaches.

    The message may pass through functions of messages and sums on the way, but not through another product.
    """
    found: dict[str, tuple[Product | Deliver, ...]] = {node.name: () for node in response.nodes}
    for node in reversed(response.nodes):
        reached = (node,) if isinstance(node, Product | Deliver) else found[node.name]
        for port in node.inputs:
            found[port.node] = reached + found[port.node]
    return found


def _beside_consumer(query: QueryGraph, node: Node, found: Mapping[str, str]) -> str:
    consumers = (other for other in query.nodes if any(port.node == node.name for port in other.inputs))
    places = [found[consumer.name] for consumer in consumers if consumer.name in found]
    sources = [found[port.node] for port in node.inputs if port.node in found]
    return (places + sources + list(found.values()))[0]
