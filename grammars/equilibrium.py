"""How far strategies in a finite game are from an equilibrium: of Nash, correlated, or coarse correlated.

A table of losses has one dimension for each player; its entries are one player's losses for all combinations of
actions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from antiphon.grammars.regret import external_and_swap


def action_losses(strategies: Sequence[Tensor], table: Tensor, player: int) -> Tensor:
    """Return the expected loss of each action of a player, given the others' strategies: (actions,).

    player: index of the player. table: the player's loss for every combination of actions.
    """
    others = [each for index, each in enumerate(strategies) if index != player]
    turned = table.movedim(player, -1)
    for strategy in others:
        turned = torch.tensordot(strategy, turned, dims=1)
    return turned


def nash_gap(strategies: Sequence[Tensor], tables: Sequence[Tensor]) -> float:
    """Return the most that a player could still gain by another strategy, with the others' fixed. It is zero exactly
    at a Nash equilibrium."""
    found = [action_losses(strategies, table, player) for player, table in enumerate(tables)]
    return max(float(mine @ losses - losses.min()) for mine, losses in zip(strategies, found, strict=True))


def mean_regrets(joint: Tensor, tables: Sequence[Tensor]) -> list[tuple[float, float]]:
    """Return for each player the regret and the swap regret per round of a joint distribution of actions.

    joint: probability of every combination of actions. It is a correlated equilibrium exactly if no swap regret is
    positive, and a coarse correlated equilibrium exactly if no regret is positive.
    """
    flat = [(joint.movedim(player, 0).flatten(1), table.movedim(player, 0)) for player, table in enumerate(tables)]
    return [external_and_swap(weights @ table.flatten(1).mT) for weights, table in flat]
