"""Experiments with the critic-derivative grammar: Actor receives the derivative of Critic's value in the action."""

from dataclasses import replace

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.critic_derivative import critic_derivative
from antiphon.recipes.dac import RECIPE as DAC, DacTable, options, parts


def build(table: DacTable) -> Grammar:
    """Make the critic-derivative grammar from the settings in `table`.

    Raises OracleError for an environment that cannot be used.
    """
    world, wind, actor, critic, _ = parts(table)
    return critic_derivative(world, wind, actor, critic, **options(table))


RECIPE = replace(DAC, name="critic-derivative", build=build, suite="antiphon.checks.suites.critic_derivative:SUITE")
