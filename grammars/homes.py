"""The home of each node of Q and R: the player, oracle or loss at which it is computed."""

from collections.abc import Mapping

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.query import Kind, Node, QueryGraph
from antiphon.grammars.response import Deliver, Map, Product, ResponseGraph, Seed, Sum, Tap


def homes(query: QueryGraph) -> Mapping[str, str]:
    """The player, oracle or loss at which each node of Q is computed.

    A clone is computed at its player. A parameterless operator is computed at its first consumer; without a consumer,
    at the home of its first input.
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
    """The home of each node of R.

    asked: the home of each node of Q. told: the place where each player receives its messages.
    A product, a seed and a tap have the home of their node of Q. A map or sum is computed at its receiver. If several
    places receive it, it is computed at the home of its first input, so that each receiver is one message away.
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
    """The products and deliveries that each node's message reaches directly or through maps."""
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
