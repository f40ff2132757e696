"""Experiments with an online learner: Player against an adversary that chooses the losses."""

from antiphon.envs.adversary import Losses, adversary
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.online_game import online_game
from antiphon.grammars.library.point import Point
from antiphon.grammars.library.strategy import MixedStrategy
from antiphon.recipes.common.recipe import Recipe
from antiphon.recipes.common.tables import Count, Positive, Table


class OnlineGameTable(Table):
    """Settings of an experiment with an online learner.

    losses: how the adversary chooses. "coins", "leader" and "heaviest" are against distributions over actions,
    "orthogonal" against points of a ball.
    dimension: number of actions, or of coordinates. radius: of the ball.
    """

    losses: Losses = "coins"
    dimension: Count = 10
    radius: Positive = 1.0


def build(table: OnlineGameTable) -> Grammar:
    """Make the grammar of an online learner from the settings in `table`.

    Raises OracleError for settings that cannot be used.
    """
    nature = adversary(table.losses, table.dimension, radius=table.radius)
    on_ball = table.losses == "orthogonal"
    player = Factory.of(Point, table.dimension) if on_ball else Factory.of(MixedStrategy, table.dimension)
    return online_game(nature, player)


RECIPE = Recipe("online-game", OnlineGameTable, build, suite="antiphon.checks.suites.online_game:SUITE")
