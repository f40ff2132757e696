"""Find wrong edges of R without any numbers: derive from R alone to which value of Q each message belongs."""

from antiphon.grammars import Grammar, Port
from antiphon.grammars.maps import Linearity
from antiphon.grammars.response import PARAMETERS, Deliver, Map, Product, Seed, Sum


def mismatch(grammar: Grammar, name: str) -> tuple[str, str] | None:
    """Find a message that is the gradient of another value of Q than its user expects.

    The search begins at the node `name` of R. It goes upstream through sums and through maps that multiply by numbers,
    because their output belongs to the same value of Q as their input.
    Returns (the node of R that takes the message, a description in words), or None.
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
    """Return the value of Q, or the player's parameters, whose gradient this message is; None if R does not show it."""
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
