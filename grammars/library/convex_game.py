"""Convex games: players play vectors, and each player's loss is convex in its own (essay, Definition 5)."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from antiphon.grammars import Factory, Grammar, OracleDeclaration, typed
from antiphon.grammars.library.game import game


@typed
def convex_game(
    players: Mapping[str, Factory],
    losses: Mapping[str, Callable[..., Tensor] | Factory],
    referee: OracleDeclaration | None = None,
) -> Grammar:
    """Make the grammar of a game of points. Nothing tests that the losses are convex.

    players: a module without inputs for each player, such as `Point`. losses: for each player, a function from all
    plays to the player's loss, 0-d. referee: an oracle that sees all plays.
    """
    return game("convex-game", players, losses, referee)


def bilinear(x: Tensor, y: Tensor, sign: float = 1.0) -> Tensor:
    """Return `sign` times <x, y>, 0-d. With signs 1 and -1 it is the game l = xy, l = -xy, whose equilibrium is zero.

    x, y: (dimension,).
    """
    return sign * torch.dot(x, y)


def cournot(*quantities: Tensor, player: int, demand: float, cost: float) -> Tensor:
    """Return minus the profit of a firm, 0-d, if the price of a good is `demand` minus the sum of all quantities.

    quantities: what each firm produces, (1,) each. player: index of the firm. cost: of each unit. In equilibrium each
    of n firms produces (demand - cost) / (n + 1).
    """
    price = demand - torch.stack(quantities).sum()
    return (quantities[player] * (cost - price)).sum()
