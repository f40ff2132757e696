"""A custom grammar with five players and two losses: classify an image and reconstruct it. Only the topology."""

from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from antiphon import Dense, Grammar, Guarantee, OracleDeclaration, QueryDraft, chain_rule, minimise
from antiphon.grammars import Exact, Message, PlayerLoss, Value, promised
from antiphon.grammars.chain_rule import Edit, Upstream
from antiphon.grammars.maps import scale


def two_losses(
    nature: OracleDeclaration, pixels: int = 64, classes: int = 10, width: int = 32, weight: float = 0.5
) -> Grammar:
    """Eye encodes x; two players classify it and two players reconstruct it. R differs from the chain rule at one edge.

    nature: its first question answers x, (batch, pixels) in float32, and labels y, (batch,).
    weight: factor of the loss Painting in Eye's gradient; Sketcher and Painter receive the full gradient.
    """
    q = QueryDraft()
    x, y = q.oracle("Nature", nature)()
    seen = q.player("Eye", Dense, pixels, width)(x)

    thought = q.player("Thinker", Dense, width, width)(seen)
    naming = q.loss("Naming", cross_entropy)(q.player("Namer", nn.Linear, width, classes)(thought), y)

    sketch = q.player("Sketcher", Dense, width, width)(seen)
    painting = q.loss("Painting", mse_loss)(q.player("Painter", nn.Linear, width, pixels)(sketch), x)

    objective = minimise(naming, painting)
    r = chain_rule(q, objective, edit=weighted("Sketcher", "Eye", weight))
    return Grammar("two losses", q.graph(), r, objective, guarantee(naming, painting, weight))


def weighted(source: str, target: str, weight: float) -> Edit:
    """An edit that multiplies the message from `source` to `target` by `weight`."""

    def edit(upstream: Upstream) -> Message:
        if (upstream.source.owner, upstream.target.owner) != (source, target):
            return upstream.message
        name = f"{weight:g} of Painting, into {target}"
        return upstream.response.map(scale, upstream.message, name=name, factor=weight)

    return edit


def guarantee(naming: Value, painting: Value, weight: float) -> Guarantee:
    """All gradients are exact. Eye's is the gradient of a different sum of the losses."""
    mixed = PlayerLoss.of(weighted_sum, naming, painting, weight=weight)
    return promised(Exact(("Thinker", "Namer", "Sketcher", "Painter")), Exact(("Eye",), mixed))


def weighted_sum(naming: Tensor, painting: Tensor, weight: float) -> Tensor:
    """Eye's loss. Q does not compute it."""
    return naming + weight * painting
