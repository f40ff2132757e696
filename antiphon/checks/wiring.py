"""Which value of Q a message of R is told of, as far as R alone says so: a wrong edge is seen without any number."""

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.maps import add, negate, over_batch, scale
from antiphon.grammars.query import Port
from antiphon.grammars.response import PARAMETERS, Deliver, Map, Product, Seed


def misled(grammar: Grammar, name: str) -> tuple[str, str] | None:
    """(that node of R, or one whose message it passes on, how) of one that is told about another value of Q than the
    one that it is asked for; None where there is none."""
    node = grammar.response.by_name[name]
    match node:
        case Product(of=of):
            places = ((Port(of, index), each) for index, each in enumerate(node.cotangents) if each is not None)
        case Deliver(player=player, message=message):
            places = iter([(Port(player, PARAMETERS), message)])
        case Map() if _plain(node):
            within = [found for each in node.inputs if (found := misled(grammar, each.node))]
            if within:
                return within[0]
            first = next((found for each in node.inputs if (found := about(grammar, each))), None)
            places = ((first, each) for each in node.inputs if first)
        case _:
            return None
    for port, message in places:
        found = about(grammar, message)
        if found and found != port:
            how = (
                f"what arrives at {name!r} is told of {_named(found)}, where what is told of {_named(port)} is expected"
            )
            return misled(grammar, message.node) or (name, how)
    return None


def about(grammar: Grammar, message: Port) -> Port | None:
    """Of which value of Q a message is told, or of whose parameters; None where R alone does not say."""
    node = grammar.response.by_name[message.node]
    match node:
        case Seed(loss=loss):
            return loss
        case Product(of=of):
            asked = grammar.query.by_name[of]
            return Port(asked.owner, PARAMETERS) if message.index == PARAMETERS else asked.inputs[message.index]
        case Map() if _plain(node):
            return about(grammar, node.inputs[0])
        case _:
            return None


def _named(port: Port) -> str:
    return f"the parameters of {port.node!r}" if port.index == PARAMETERS else repr(port)


def _plain(node: Map) -> bool:
    """Whether it adds up messages, or multiplies one by a number: then it is of what they are of."""
    return node.operation.target in (add, negate, scale, over_batch)
