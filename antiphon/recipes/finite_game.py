"""Experiments with finite games: each player plays a distribution over its actions against the others."""

from typing import Literal

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.finite_game import finite_game
from antiphon.grammars.library.matrix_games import MATRIX_GAMES
from antiphon.grammars.library.strategy import Start
from antiphon.oracles.referee import finite_referee
from antiphon.recipes.common.recipe import Recipe
from antiphon.recipes.common.tables import Table


class FiniteGameTable(Table):
    """Settings of an experiment with a finite game.

    game: the name of the game; its losses are in `grammars/library/matrix_games.py`.
    start: the first strategies, "uniform" or "random".
    """

    game: Literal["matching-pennies", "prisoners-dilemma", "chicken", "rock-paper-scissors", "shapley", "jordan"] = (
        "shapley"
    )
    start: Start = "random"


def build(table: FiniteGameTable) -> Grammar:
    """Make the grammar of a finite game from the settings in `table`, with a referee that reports regrets and gaps."""
    losses = MATRIX_GAMES[table.game]()
    return finite_game(losses, start=table.start, referee=finite_referee(losses))


RECIPE = Recipe(
    "finite-game",
    FiniteGameTable,
    build,
    suite="antiphon.checks.suites.finite_game:SUITE",
    variants={"finite-game-jordan": {"finite_game.game": "jordan"}},
)
