"""Experiments with synthetic gradients: each layer of a classifier learns at once, from a guess of its gradient."""

from pydantic import Field

from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.synthetic_gradients import Guesser, synthetic_gradients
from antiphon.recipes.common.credit import CreditTable, accuracy, network_of
from antiphon.recipes.common.recipe import Recipe
from antiphon.recipes.common.tables import Count


class SyntheticGradientsTable(CreditTable):
    """Settings of an experiment with synthetic gradients. guess_widths: hidden widths of the players that guess."""

    guess_widths: list[Count] = Field(default=[128])


def build(table: SyntheticGradientsTable) -> Grammar:
    """Make the grammar of synthetic gradients from the settings in `table`.

    Raises ExperimentError for settings that do not fit together.
    """
    guessers = {
        f"Dense{index}": Factory.of(Guesser, width, table.classes, tuple(table.guess_widths))
        for index, width in enumerate(table.widths, start=1)
    }
    return synthetic_gradients(*network_of("synthetic_gradients", table), guessers)


RECIPE = Recipe(
    "synthetic-gradients",
    SyntheticGradientsTable,
    build,
    accuracy,
    shipped=("digits",),
    suite="antiphon.checks.suites.synthetic_gradients:SUITE",
)
