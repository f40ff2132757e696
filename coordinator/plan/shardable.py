"""Which players may be sharded: their replicas hold a part of the parameters each."""

from collections.abc import Mapping

from antiphon.coordinator.plan.placement import Placement, Precision
from antiphon.errors import PlacementError
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.response import Deliver, Product


def refuse_unshardable(grammar: Grammar, placement: Placement, nodes: Mapping[str, tuple[str, ...]]) -> None:
    """Hold sharded players to what all who hold a part can play together. nodes: of Q, that are divided.

    Raises PlacementError for a player with a clone, an agent elsewhere, a node that only one replica would play, or two
    products of one query.
    """
    for player in placement.sharded:
        found = _obstacle(grammar, placement, player, nodes)
        if found:
            raise PlacementError(
                f"player {player!r} cannot be sharded over its replicas: {found}. Expected nodes that all of them play "
                "together, each answered once, and an agent beside every part. Leave the player whole."
            )


def _obstacle(grammar: Grammar, placement: Placement, player: str, nodes: Mapping[str, tuple[str, ...]]) -> str:
    if player in placement.agent_of:
        return "its agent lives on another worker"
    if dict(placement.precision).get(player) is Precision.FLOAT16:
        return "its precision is float16, whose scale is each replica's own, and the parts are summed"
    if any(clone.player == player for clone in grammar.query.clones):
        return "a clone follows it"
    for node in grammar.query.nodes:
        if node.owner != player:
            continue
        if node.name not in nodes:
            return f"{node.name!r} is played by one replica alone, since its batch cannot be divided"
        products = [each for each in grammar.response.nodes if isinstance(each, Product) and each.of == node.name]
        if len(products) > 1:
            return f"{node.name!r} is asked for {len(products)} products of one query"
    return ""


def undelivered(delivery: Deliver) -> PlacementError:
    """A sharded player hears something else than its own products, which alone are in parts."""
    return PlacementError(
        f"player {delivery.player!r} cannot be sharded over its replicas: it hears {delivery.message}, which is not "
        "made of its own products share by share. Expected those, negated, scaled or added at most. "
        "Leave the player whole."
    )
