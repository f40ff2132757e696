"""What a grammar's conversation costs, counted on its two graphs alone (essay: Nemirovski and Yudin, and Remark 4).

Everybody is at home with himself here: each player, each oracle and each loss is an owner of its own. Parameterless
operators live with their consumer, maps with whoever hears them, seeds and taps at their node (`homes`).

A **message** is a value that one owner makes and another needs: one output of one node, once for each of those others,
in each round in which the node is played. That is what the transport sends when every owner has a worker of its own
(the placement `spread`); here it is counted without a placement, a schedule or a process.
"""

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.homes import hearers, homes
from antiphon.grammars.query import Port
from antiphon.grammars.response import Product, Seed, Tap


def query_depth(grammar: Grammar) -> int:
    """The longest chain of messages in Q: how many owners have to wait for one another before the last is asked."""
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
    home = homes(grammar.query)
    depth: dict[str, int] = {}
    heard = hearers(grammar.response)
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
