"""Experiments with games whose players adjust their gradients by second derivatives: SGA, consensus, LOLA."""

from typing import Literal

import torch

from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.adjusted_game import ADJUSTMENTS, adjusted_game, plain
from antiphon.grammars.library.convex_game import bilinear
from antiphon.grammars.library.point import Point
from antiphon.oracles.referee import point_referee
from antiphon.recipes.common.recipe import Recipe
from antiphon.recipes.common.tables import Count, Positive, Table


class AdjustedGameTable(Table):
    """Settings of an experiment with the game l = <x, y> for the first player, l = -<x, y> for the second.

    adjustment: "symplectic" (SGA), "consensus", "lola", or "plain" for none. weight: the size of the adjustment.
    dimension: length of the players' vectors. start: each player begins with a vector of this number.
    """

    adjustment: Literal["symplectic", "consensus", "lola", "plain"] = "symplectic"
    weight: Positive = 1.0
    dimension: Count = 4
    start: float = 1.0


def build(table: AdjustedGameTable) -> Grammar:
    """Make the grammar of the game from the settings in `table`, with a referee that knows the equilibrium."""
    losses = {"Min": Factory.of(bilinear, sign=1.0), "Max": Factory.of(bilinear, sign=-1.0)}
    players = dict.fromkeys(losses, Factory.of(Point, table.dimension, table.start))
    chosen = ADJUSTMENTS.get(table.adjustment)
    adjustment = Factory.of(plain) if chosen is None else Factory.of(chosen, weight=table.weight)
    referee = point_referee(dict.fromkeys(losses, torch.zeros(table.dimension)))
    return adjusted_game(players, losses, adjustment, referee)


RECIPE = Recipe(
    "adjusted-game",
    AdjustedGameTable,
    build,
    suite="antiphon.checks.suites.adjusted_game:SUITE",
    variants={f"adjusted-game-{each}": {"adjusted_game.adjustment": each} for each in ("consensus", "lola")},
)
