"""Compare the messages to players in two Response graphs. Names of nodes and the order of summands are ignored."""

from collections.abc import Callable, Hashable, Mapping

from antiphon.grammars.query import Port
from antiphon.grammars.response import Deliver, Map, Product, ResponseGraph, ResponseNode, Seed, Sum, Tap


class Forms:
    """Gives a number to each expression of messages. Equal expressions get equal numbers, in any Response graph.

    Two messages have equal expressions if the same operations compute them. Node names are ignored.
    """

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}

    def heard(self, response: ResponseGraph, old: Callable[[Port], Port]) -> Mapping[str, int]:
        """Return, for each player, the number of the expression of the message that the player receives.

        Two players, also of different Response graphs, receive the same message if their numbers are equal.
        old: a function that renames the ports of values before they are compared.
        """
        terms: dict[Port, tuple[int, ...]] = {}
        heard: dict[str, int] = {}
        for node in response.nodes:
            given = {port: self._number(("sum", terms[port])) for port in node.inputs}
            if isinstance(node, Deliver):
                heard[node.player] = given[node.message]
            elif isinstance(node, Sum):
                terms[Port(node.name)] = tuple(sorted(term for port in node.inputs for term in terms[port]))
            else:
                for index in _outputs(node):
                    terms[Port(node.name, index)] = (self._number((*_form(node, given, old), index)),)
        return heard

    def _number(self, form: Hashable) -> int:
        return self._numbers.setdefault(form, len(self._numbers))


def _outputs(node: ResponseNode) -> tuple[int, ...]:
    return (*node.toward, -1) if isinstance(node, Product) else (0,)


def _form(node: ResponseNode, given: Mapping[Port, int], old: Callable[[Port], Port]) -> tuple[Hashable, ...]:
    match node:
        case Seed():
            return ("seed", old(node.loss), node.weight)
        case Tap():
            return ("tap", old(node.port))
        case Map():
            return ("map", node.operation, *(given[port] for port in node.inputs))
        case Product():
            places = (None if port is None else given[port] for port in node.cotangents)
            return ("product", old(Port(node.of)).node, node.truncation, *places)
        case Sum() | Deliver():
            raise AssertionError(node)
