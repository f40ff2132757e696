"""Where a response goes wrong: the first operator of R from which on nothing is right any more."""

from collections.abc import Mapping

import torch
from torch import Tensor

from antiphon.checks.witness import Witnessed
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import PlayerLoss
from antiphon.grammars.query import Port
from antiphon.grammars.response import Product

SAME = 1e-8
"""Relative difference up to which a message is the reference's."""


def locate(grammar: Grammar, round: Witnessed, player: str, loss: PlayerLoss | None) -> tuple[str, str]:
    """(the node of R at which the wrong message arrives, how it goes wrong, in words), for a response to `player`.

    Compares what arrives at each product on the way with the gradient of the player's loss at that value of Q. Blamed
    is the first product after the last one at which all was right; the last one, if all was right at every product.
    """
    way = _way(grammar, player)
    relations = [(node, _relation(grammar, round, node, loss)) for node in way]
    wrong = [index for index, (_, relation) in enumerate(relations) if relation != "right"]
    if not relations:
        return f"deliver {player}", f"no operator `*` tells player {player!r} anything"
    if not wrong or wrong[-1] != len(relations) - 1:
        last = relations[-1][0]
        return last.name, f"what arrives at {last.name!r} is right, and what is told to {player!r} is not"
    first = len(relations) - 1
    while first > 0 and relations[first - 1][1] != "right":
        first -= 1
    node, relation = relations[first]
    return node.name, f"what arrives at {node.name!r} is {relation}"


def _way(grammar: Grammar, player: str) -> list[Product]:
    """The products on which the delivery depends, in R's order."""
    told = grammar.response.ancestors(f"deliver {player}")
    return [node for node in grammar.response.nodes if isinstance(node, Product) and node.name in told]


def _relation(grammar: Grammar, round: Witnessed, node: Product, loss: PlayerLoss | None) -> str:
    places = [(Port(node.of, index), message) for index, message in enumerate(node.cotangents)]
    told = [(port, round.messages[each]) for port, each in places if each is not None and each in round.messages]
    expected = round.composed.cotangents([port for port, _ in told], loss)
    relations = [_compare(message, expected[port]) for port, message in told if _comparable(grammar, port, expected)]
    return next((each for each in relations if each != "right"), "right")


def _comparable(grammar: Grammar, port: Port, expected: Mapping[Port, Tensor]) -> bool:
    """Not a value behind which no parameter stands; nor a loss of which the player's own loss knows nothing."""
    if port not in expected:
        return False
    return port not in grammar.objective.losses or bool(expected[port].abs().max() > 0)


def _compare(told: Tensor, expected: Tensor) -> str:
    scale = float(expected.abs().max())
    if _near(told, expected, scale):
        return "right"
    if not float(told.abs().max()):
        return "nothing, where a gradient is expected"
    if not scale:
        return "something, where no gradient is expected"
    if _near(told, -expected, scale):
        return "of the opposite sign"
    factor = float((told * expected).sum() / expected.square().sum())
    if torch.isfinite(told).all() and _near(told, factor * expected, scale * abs(factor)):
        return f"{factor:.4g} times the gradient"
    return "another direction than the gradient"


def _near(one: Tensor, two: Tensor, scale: float) -> bool:
    return float((one - two).abs().max()) <= SAME * max(scale, 1e-300)
