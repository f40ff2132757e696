"""Experiments with gated games: the units of a rectifier network are players that learn online, on diabetes."""

from pydantic import Field

from antiphon.envs import diabetes
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.gated_game import gated_game
from antiphon.grammars.library.networks import dense_layers
from antiphon.recipes.common.data import DataTable, nature_of, width_of
from antiphon.recipes.common.recipe import Recipe
from antiphon.recipes.common.tables import Count


class GatedGameTable(DataTable):
    """Settings of an experiment with a gated game.

    data: "diabetes", or "module:function" for the user's own data; each example is a vector and one number.
    batch: 1 for online learning. A unit is active in a round if it is active for one example of the batch.
    widths: number of rectifier units in each hidden layer.
    """

    data: str = "diabetes"
    batch: Count = 1
    widths: list[Count] = Field(default=[4, 3])


def build(table: GatedGameTable) -> Grammar:
    """Make the grammar of a gated game from the settings in `table`.

    Raises ExperimentError, OracleError or ShapeError for settings that do not fit together.
    """
    nature = nature_of("gated_game", table, {"diabetes": lambda: diabetes(table.batch)}, labelled=True)
    return gated_game(nature, dense_layers((width_of("gated_game", nature),), table.widths, 1))


RECIPE = Recipe("gated-game", GatedGameTable, build, suite="antiphon.checks.suites.gated_game:SUITE")
