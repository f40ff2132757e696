"""Make the picture of a grammar, as a value without positions."""

from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.grammar import Grammar
from antiphon.pictures.picture import Picture
from antiphon.pictures.query_side import query_side
from antiphon.pictures.response_side import response_side
from antiphon.pictures.symbols import clipped


def picture_of(grammar: Grammar) -> Picture:
    """Return the picture of a grammar: its Query graph (Q) and its Response graph (R) as marks and arrows.

    A mark is a drawn node. Equal grammars give equal pictures in every process.
    """
    subtitles = (clipped(f"{grammar.objective!r}", 90), f"guarantee: {grammar.guarantee!r}")
    sides = query_side(grammar.query), response_side(grammar.query, grammar.response, grammar.objective)
    return Picture(grammar.name, subtitles, sides)


def ruled(grammar: Grammar) -> Picture:
    """Return the picture of a grammar whose Response graph is replaced by the chain rule on the same Query graph.

    By the chain rule, some players may receive no gradient. Raises BlackBoxError if the chain rule needs a gradient of
    a black box.
    """
    query, objective = grammar.query, grammar.objective
    response = response_side(query, chain_rule(query, objective.common), objective.common)
    return Picture("the chain rule", (), (query_side(query), response))
