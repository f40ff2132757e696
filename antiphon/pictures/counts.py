"""Figures that can be read off the two graphs: what the page shows beside a picture."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.query import Kind, Port
from antiphon.grammars.types import Order

Row: TypeAlias = tuple[str, str]
"""What it is, and the figure."""


def counts(grammar: Grammar) -> Sequence[Row]:
    """Players, parameters, questions to each oracle, messages by order, and how many steps deep Q and R are."""
    query, response = grammar.query, grammar.response
    asked = [node.owner for node in query.nodes if node.kind is Kind.ORACLE]
    orders = [grammar.message_types[port].order for node in response.nodes for port in node.inputs]
    return (
        ("players", str(len(query.players))),
        ("parameters", str(sum(int(player.space.shape[0]) for player in query.players))),  # pyright: ignore[reportArgumentType] - flat and sized
        *((f"questions to {name}", str(asked.count(name))) for name in dict.fromkeys(asked)),
        ("values of Q", str(sum(len(node.inputs) for node in query.nodes))),
        ("messages of R, first order", str(orders.count(Order.FIRST))),
        ("messages of R, zeroth order", str(orders.count(Order.ZEROTH))),
        ("depth of Q", str(_depth({node.name: node.inputs for node in query.nodes}))),
        ("depth of R", str(_depth({node.name: node.inputs for node in response.nodes}))),
    )


def _depth(inputs: Mapping[str, Sequence[Port]]) -> int:
    """Nodes on the longest way; the graph's nodes are in order of dependence."""
    found: dict[str, int] = {}
    for name, ports in inputs.items():
        found[name] = 1 + max((found[port.node] for port in ports), default=0)
    return max(found.values())
