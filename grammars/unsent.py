"""Lists the gradients that the chain rule would send and a Response graph does not send: what its edits took away."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from antiphon.errors import BlackBoxError
from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.objective import Objective
from antiphon.grammars.query import Port, QueryGraph
from antiphon.grammars.response import PARAMETERS, Product, ResponseGraph


class Reason(StrEnum):
    """Why a Response graph does not send a gradient that the chain rule would send.

    CUT: a message about a value is not sent. FROZEN: a player does not learn from one use of it. HELD: the objective
    holds the value fixed.
    """

    CUT = "cut"
    FROZEN = "frozen"
    HELD = "held"


@dataclass(frozen=True)
class Unsent:
    """A gradient that the chain rule would send and a Response graph does not send.

    product: the node of the Response graph that would send it. of: the node of the Query graph whose product that is.
    about: the value of the Query graph, or the player with the index PARAMETERS, that the gradient is about.
    index: the input of `of`, or PARAMETERS.
    """

    product: str
    of: str
    index: int
    about: Port
    reason: Reason

    def __repr__(self) -> str:
        if self.index == PARAMETERS:
            return f"{self.reason}: {self.product} -> parameters, to {self.about.node}"
        return f"{self.reason}: {self.product} -> input {self.index}, about {self.about!r}"


def plain_chain_rule(query: QueryGraph, objective: Objective) -> ResponseGraph | None:
    """Return the Response graph of the chain rule, with all losses for all players and nothing held fixed.

    Returns None if it needs a gradient of a black box.
    """
    try:
        return chain_rule(query, objective.common)
    except BlackBoxError:
        return None


def unsent(query: QueryGraph, response: ResponseGraph, objective: Objective) -> tuple[Unsent, ...]:
    """Return the gradients that the plain chain rule would send from nodes of a Response graph, and that it does not
    send.

    If a node of the Query graph has several products, a gradient that one of them sends counts as sent, unless the
    objective holds the value fixed. The result is empty if the plain chain rule needs a gradient of a black box.
    """
    ruled = plain_chain_rule(query, objective)
    expected = {node.of: node for node in ruled.nodes if isinstance(node, Product)} if ruled else {}
    products = [node for node in response.nodes if isinstance(node, Product) and node.of in expected]
    sent = {(node.of, index) for node in products for index in _sends(node)}
    found: dict[tuple[str, int], Unsent] = {}
    for node in products:
        for index in _sends(expected[node.of]):
            about, reason = _about(query, objective, node, index)
            if index not in _sends(node) and (reason is Reason.HELD or (node.of, index) not in sent):
                key = node.name if reason is Reason.HELD else node.of
                found.setdefault((key, index), Unsent(node.name, node.of, index, about, reason))
    return tuple(found.values())


def _sends(product: Product) -> Iterator[int]:
    yield from product.toward
    if product.parameters:
        yield PARAMETERS


def _about(query: QueryGraph, objective: Objective, product: Product, index: int) -> tuple[Port, Reason]:
    node = query.by_name[product.of]
    if index == PARAMETERS:
        return Port(node.owner, PARAMETERS), Reason.FROZEN
    value = node.inputs[index]
    return value, Reason.HELD if value in objective.held else Reason.CUT
