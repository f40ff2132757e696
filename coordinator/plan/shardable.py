"""Checks which players may be sharded, so that each of their replicas holds a shard of the parameters."""

from collections.abc import Mapping

from antiphon.coordinator.plan.placement import Placement, Precision
from antiphon.errors import PlacementError
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.response import Deliver, Product


def refuse_unshardable(grammar: Grammar, placement: Placement, nodes: Mapping[str, tuple[str, ...]]) -> None:
    """Raise PlacementError for a sharded player that its replicas cannot play together.

    nodes: the Query graph nodes that are divided among replicas, with their workers. A player is refused if its agent
    lives on another worker, if its precision is float16, if its queries are computed again in the response phase
    (`recompute`), if a clone follows it, if its gradient or its parameters are a value of the Query graph, if only one
    replica would play one of its nodes, or if the Response graph has two vector-Jacobian products of one of its nodes.
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
    if player in placement.recomputed:
        return "its queries are computed again (`recompute`)"
    if any(clone.player == player for clone in grammar.query.clones):
        return "a clone follows it"
    for node in grammar.query.nodes:
        if node.owner != player:
            continue
        if node.view is not None:
            return f"its gradient or its parameters are a value of the Query graph ({node.name!r})"
        if node.name not in nodes:
            return f"{node.name!r} is played by one replica only, since its batch cannot be divided"
        products = [each for each in grammar.response.nodes if isinstance(each, Product) and each.of == node.name]
        if any(each.truncation is not None for each in products):
            return f"the product of {node.name!r} is truncated"
        if len(products) > 1:
            return f"{node.name!r} is asked for {len(products)} products of one query"
    return ""


def undelivered(delivery: Deliver) -> PlacementError:
    """Return the error for a sharded player that receives a message which is not made of its own gradients only."""
    return PlacementError(
        f"player {delivery.player!r} cannot be sharded over its replicas: it receives {delivery.message}, which is not "
        "made of its own products shard by shard. Expected these, their sum, or a map of them that declares "
        "`linear(Linearity.NUMBERS)`. Leave the player whole."
    )
