"""Find wrong edges of a Response graph (R) from the graph alone, without running it.

For each message, the graph shows of which value of the Query graph (Q) it is the gradient.
"""

from antiphon.grammars import Grammar, Port
from antiphon.grammars.maps import Linearity
from antiphon.grammars.response import PARAMETERS, Deliver, Map, Product, Seed, Sum


def mismatch(grammar: Grammar, name: str) -> tuple[str, str] | None:
    """Find a node of the Response graph that takes the gradient of a wrong value.

    Example: a vector-Jacobian product of one operator takes the gradient of the output of another operator. The search
    begins at the node `name`. It continues upstream through `Sum` nodes, and through `Map` nodes that multiply by
    numbers.
    Returns (the name of the node that takes the wrong message, a description in words), or None.
    """
    node = grammar.response.by_name[name]
    match node:
        case Product(of=of):
            places = ((Port(of, index), each) for index, each in enumerate(node.cotangents) if each is not None)
        case Deliver(player=player, message=message):
            places = iter([(Port(player, PARAMETERS), message)])
        case Sum() | Map(linear=Linearity.NUMBERS):
            within = [found for each in node.inputs if (found := mismatch(grammar, each.node))]
            if within:
                return within[0]
            first = next((found for each in node.inputs if (found := about(grammar, each))), None)
            places = ((first, each) for each in node.inputs if first)
        case _:
            return None
    for port, message in places:
        found = about(grammar, message)
        if found and found != port:
            how = f"the input of {name!r} is the gradient of {_named(found)}; expected that of {_named(port)}"
            return mismatch(grammar, message.node) or (name, how)
    return None


def about(grammar: Grammar, message: Port) -> Port | None:
    """Return the port of the value of which a message is the gradient: a value of the Query graph, or parameters.

    Returns None if the Response graph does not show it, as for the output of an arbitrary function.
    """
    node = grammar.response.by_name[message.node]
    match node:
        case Seed(loss=loss):
            return loss
        case Product(of=of):
            asked = grammar.query.by_name[of]
            return Port(asked.owner, PARAMETERS) if message.index == PARAMETERS else asked.inputs[message.index]
        case Sum() | Map(linear=Linearity.NUMBERS):
            return about(grammar, node.inputs[0])
        case _:
            return None


def _named(port: Port) -> str:
    return f"the parameters of {port.node!r}" if port.index == PARAMETERS else repr(port)
