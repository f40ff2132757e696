"""With whom each node of Q and R is played: players, oracles and losses have homes, operators and maps are guests."""

from collections.abc import Mapping

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.query import Kind, Node, QueryGraph
from antiphon.grammars.response import Deliver, Map, Product, ResponseGraph, Seed, Tap


def homes(query: QueryGraph) -> Mapping[str, str]:
    """The player, oracle or loss with whom each node of Q is asked.

    A clone is asked with its player. A parameterless operator lives with its first consumer; one that nobody takes,
    with who plays its first input.
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
    """Where each node of R is computed. asked: the home of each node of Q; told: where each player hears.

    A product, a seed and a tap belong to their node of Q. A map lives where it is heard; where several hear it, with
    who tells its first input, so that each of them is one message away.
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
            case Map(inputs=inputs):
                places = {
                    asked[each.of] if isinstance(each, Product) else told[each.player] for each in heard[node.name]
                }
                found[node.name] = places.pop() if len(places) == 1 else found[inputs[0].node]
    return found


def hearers(response: ResponseGraph) -> Mapping[str, tuple[Product | Deliver, ...]]:
    """The products and deliveries that each node's message reaches through maps alone."""
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
