"""Experiments with direct feedback alignment: the error at the output is broadcast to all layers of a classifier."""

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.feedback_alignment import feedback_alignment
from antiphon.recipes.common.credit import accuracy, network_of
from antiphon.recipes.common.recipe import Recipe
from antiphon.recipes.feedback_alignment import FeedbackTable


def build(table: FeedbackTable) -> Grammar:
    """Make the grammar of direct feedback alignment from the settings in `table`.

    Raises ExperimentError for settings that do not fit together.
    """
    return feedback_alignment(*network_of("direct_feedback_alignment", table), direct=True, seed=table.feedback_seed)


RECIPE = Recipe(
    "direct-feedback-alignment",
    FeedbackTable,
    build,
    accuracy,
    shipped=("digits",),
    suite="antiphon.checks.suites.feedback_alignment:DIRECT",
)
