"""The table on the HTML page of a picture: the communication cost of the grammar per round."""

from collections.abc import Sequence
from typing import TypeAlias

from antiphon.grammars.cost import Graph, cost
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.locality import LOCAL
from antiphon.grammars.types import Order

Row: TypeAlias = tuple[str, str]
"""A row of the table: (label, number), both as text."""


def counts(grammar: Grammar) -> Sequence[Row]:
    """Return the rows of the table on the HTML page of a grammar: players, parameters, queries, messages, bytes.

    Counts are averages per round over one period of the grammar's cadences, as predicted by `antiphon cost`.
    """
    found, players = cost(grammar), grammar.query.players
    parameters = sum(int(player.space.shape[0]) for player in players)  # pyright: ignore[reportArgumentType] - flat and sized

    def each(total: int) -> str:
        return f"{total / found.rounds:,.10g}"

    return (
        ("players", str(len(players))),
        ("parameters", f"{parameters:,}"),
        *((f"queries of {name}", each(total)) for name, total in found.queries.items()),
        ("messages of Q", each(found.messages(Graph.QUERY))),
        ("messages of R", each(found.messages(Graph.RESPONSE))),
        ("of these local", each(found.messages(Graph.RESPONSE, LOCAL))),
        ("bytes, zeroth order", each(found.bytes(Order.ZEROTH))),
        ("bytes, first order", each(found.bytes(Order.FIRST))),
        ("depth of Q", str(found.query_depth)),
        ("depth of R", str(found.response_depth)),
    )
