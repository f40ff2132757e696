"""Experiments with sign-symmetry: classifiers whose error is sent down by the signs of the weights."""

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.sign_symmetry import sign_symmetry
from antiphon.recipes.common.credit import CreditTable, accuracy, network_of
from antiphon.recipes.common.recipe import Recipe


def build(table: CreditTable) -> Grammar:
    """Make the grammar of sign-symmetry from the settings in `table`.

    Raises ExperimentError for settings that do not fit together.
    """
    return sign_symmetry(*network_of("sign_symmetry", table, apart=True))


RECIPE = Recipe(
    "sign-symmetry",
    CreditTable,
    build,
    accuracy,
    shipped=("digits",),
    suite="antiphon.checks.suites.sign_symmetry:SUITE",
)
