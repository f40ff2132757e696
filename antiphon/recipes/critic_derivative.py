"""Experiments with the critic-derivative grammar: Actor receives the derivative of Critic's value in the action."""

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.critic_derivative import critic_derivative
from antiphon.recipes.common.recipe import Recipe
from antiphon.recipes.dac import FIGURES, DacTable, evaluate, film, options, parts, scaled, settings


def build(table: DacTable) -> Grammar:
    """Make the critic-derivative grammar from the settings in `table`.

    Raises OracleError for an environment that cannot be used.
    """
    world, wind, actor, critic, _ = parts(table)
    return critic_derivative(world, wind, actor, critic, **options(table))


RECIPE = Recipe(
    "critic-derivative",
    DacTable,
    build,
    evaluate,
    settings=settings,
    figures=FIGURES,
    film=film,
    scaled=scaled,
    suite="antiphon.checks.suites.critic_derivative:SUITE",
)
