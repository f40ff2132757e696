"""Experiments with convex games: players play vectors, each against the others."""

from typing import Literal

import torch

from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.convex_game import bilinear, convex_game, cournot
from antiphon.grammars.library.point import Point
from antiphon.oracles.referee import point_referee
from antiphon.recipes.common.recipe import Recipe
from antiphon.recipes.common.tables import Count, Positive, Table


class ConvexGameTable(Table):
    """Settings of an experiment with a convex game.

    game: "bilinear" (l = <x, y> for the first player, l = -<x, y> for the second), or "cournot" (firms that choose how
    much to produce). start: each player begins with a vector of this number. dimension: length of these vectors in the
    bilinear game. firms: number of players of the Cournot game. demand, cost: the price
    of the first unit, and what a unit costs.
    """

    game: Literal["bilinear", "cournot"] = "bilinear"
    start: float = 1.0
    dimension: Count = 4
    firms: Count = 3
    demand: Positive = 2.0
    cost: Positive = 1.0


def build(table: ConvexGameTable) -> Grammar:
    """Make the grammar of a convex game from the settings in `table`, with a referee that knows the equilibrium."""
    if table.game == "cournot":
        return _cournot(table)
    losses = {"Min": Factory.of(bilinear, sign=1.0), "Max": Factory.of(bilinear, sign=-1.0)}
    player = Factory.of(Point, table.dimension, table.start)
    referee = point_referee(dict.fromkeys(losses, torch.zeros(table.dimension)))
    return convex_game(dict.fromkeys(losses, player), losses, referee)


def _cournot(table: ConvexGameTable) -> Grammar:
    names = [f"Firm{number}" for number in range(1, table.firms + 1)]
    terms = {"demand": table.demand, "cost": table.cost}
    losses = {name: Factory.of(cournot, player=index, **terms) for index, name in enumerate(names)}
    rest = torch.full((1,), (table.demand - table.cost) / (table.firms + 1))
    players = dict.fromkeys(names, Factory.of(Point, 1, table.start))
    return convex_game(players, losses, point_referee(dict.fromkeys(names, rest)))


RECIPE = Recipe(
    "convex-game",
    ConvexGameTable,
    build,
    suite="antiphon.checks.suites.convex_game:SUITE",
    variants={"convex-game-cournot": {"convex_game.game": "cournot"}},
)
