"""Experiments with feedback alignment: classifiers whose error is sent down by fixed random matrices."""

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.feedback_alignment import feedback_alignment
from antiphon.recipes.common.credit import CreditTable, accuracy, network_of
from antiphon.recipes.common.recipe import Recipe
from antiphon.recipes.common.tables import Index


class FeedbackTable(CreditTable):
    """Settings of an experiment with feedback alignment. feedback_seed: draws the fixed matrices."""

    feedback_seed: Index = 0


def build(table: FeedbackTable) -> Grammar:
    """Make the grammar of feedback alignment from the settings in `table`.

    Raises ExperimentError for settings that do not fit together.
    """
    return feedback_alignment(*network_of("feedback_alignment", table, apart=True), seed=table.feedback_seed)


RECIPE = Recipe(
    "feedback-alignment",
    FeedbackTable,
    build,
    accuracy,
    shipped=("digits",),
    suite="antiphon.checks.suites.feedback_alignment:SUITE",
)
