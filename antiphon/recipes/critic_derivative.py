"""Experiments with the critic-derivative grammar: Actor receives the derivative of Critic's value in the action."""

from dataclasses import replace

from pydantic import Field

from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.control import Smoothing
from antiphon.grammars.library.critic_derivative import critic_derivative
from antiphon.oracles import gaussian
from antiphon.recipes.common.control_table import Parts, options, parts
from antiphon.recipes.common.tables import Count, Positive
from antiphon.recipes.dac import RECIPE as DAC, DacTable, wind_of


class CriticDerivativeTable(DacTable):
    """Settings of an experiment with the critic-derivative grammar: those of `DacTable`, and three of TD3.

    twin: a second critic; the target is the smaller of the two values. smoothing: standard deviation of the noise on
    the action in the target, in the units of Actor's output; 0 for no noise. smoothing_clip: its largest size.
    delay: Actor learns in every n-th round.
    """

    twin: bool = False
    smoothing: float = Field(default=0.0, ge=0)
    smoothing_clip: Positive = 0.5
    delay: Count = 1


def build(table: CriticDerivativeTable) -> Grammar:
    """Make the critic-derivative grammar from the settings in `table`.

    Raises OracleError for an environment that cannot be used, ExperimentError for settings that contradict each other.
    """
    made = parts(table)
    further = {"twin": table.twin, "delay": table.delay, "smoothing": _smoothing(table, made)}
    wind = wind_of(table, made.action)
    return critic_derivative(made.world, wind, made.actor, made.critic, **options(table, made), **further)


def _smoothing(table: CriticDerivativeTable, made: Parts) -> Smoothing | None:
    if not table.smoothing:
        return None
    noise = gaussian((made.action,), batch=table.batch, scale=table.smoothing)
    return Smoothing(noise, table.smoothing_clip, made.spaces.low, made.spaces.high)


RECIPE = replace(
    DAC,
    name="critic-derivative",
    table=CriticDerivativeTable,
    build=build,
    suite="antiphon.checks.suites.critic_derivative:SUITE",
    variants={
        "critic-derivative-twin": {
            f"critic_derivative.{key}": value
            for key, value in {"twin": True, "smoothing": 0.2, "delay": 2, "clone_every": 2}.items()
        }
    },
)
