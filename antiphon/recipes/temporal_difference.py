"""Experiments with temporal-difference learning, on Markov decision processes whose true values are known."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from antiphon.envs.markov import markov
from antiphon.envs.markov_examples import baird_policies, baird_star, boyan_chain, random_walk
from antiphon.envs.markov_process import MarkovProcess
from antiphon.envs.markov_solutions import state_values
from antiphon.errors import ExperimentError
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.implicit import implicit_temporal_difference
from antiphon.grammars.library.networks import Perceptron
from antiphon.grammars.library.projected_fixpoint import gtd2, tdc
from antiphon.grammars.library.temporal_difference import (
    double_residual_gradient,
    residual_gradient,
    semi_gradient,
    temporal_difference,
)
from antiphon.grammars.oracle import State
from antiphon.recipes.common.data import shipped_or_made
from antiphon.recipes.common.recipe import LOWEST, Evaluation, Recipe, trained
from antiphon.recipes.common.tables import Arguments, Count, EvaluationTable, Fraction, Positive, Table

METHODS: Mapping[str, Callable[..., Grammar]] = {
    "clone": temporal_difference,
    "semi-gradient": semi_gradient,
    "residual": residual_gradient,
    "double-residual": double_residual_gradient,
    "gtd2": gtd2,
    "tdc": tdc,
    "implicit": implicit_temporal_difference,
}


class TemporalDifferenceTable(Table):
    """Settings of an experiment with temporal-difference learning.

    process: the Markov decision process: "random-walk" (with `states` states), "boyan-chain", "baird-star" (off
    policy), or "module:function". The function is called with process_arguments, and must return a `MarkovProcess`.
    play: the transitions of each round: "all" of them, weighted by their probability; or a batch, drawn at random
    ("draw") or taken from running episodes ("walk").
    method: the temporal-difference method that computes Critic's response.
    widths: widths of Critic's layers before the output layer; if empty, Critic is linear in the features.
    clone_every, soft: for the method "clone". Every `clone_every` rounds, the clone moves toward Critic by the fraction
    `soft`; 0 copies Critic.
    step: the learning rate of Critic's SGD, for the method "implicit".
    """

    process: str = "random-walk"
    process_arguments: Arguments = Field(default={})
    states: Count = 19
    play: Literal["all", "draw", "walk"] = "walk"
    batch: Count = 32
    method: Literal["clone", "semi-gradient", "residual", "double-residual", "gtd2", "tdc", "implicit"] = "clone"
    gamma: Fraction = 1.0
    clone_every: Count = 1
    soft: Fraction = 0.0
    step: Positive = 0.5
    widths: list[Count] = Field(default=[])


def build(table: TemporalDifferenceTable) -> Grammar:
    """Make the grammar of the temporal-difference method that `table` names.

    Raises ExperimentError, OracleError or GrammarError for settings that do not fit together.
    """
    process, (behaviour, policy) = world(table), policies(table)
    batch = None if table.play == "all" else table.batch
    nature = markov(process, play=table.play, batch=batch, behaviour=behaviour, policy=policy)
    make, critic = METHODS[table.method], _critic(table, process)
    critics = [critic] * (2 if make in (gtd2, tdc) else 1)
    further: Mapping[str, Mapping[str, Any]] = {
        "clone": {"clone_every": table.clone_every, "soft": table.soft or None},
        "implicit": {"step": table.step},
    }
    return make(nature, *critics, gamma=table.gamma, **further.get(table.method, {}))


def evaluate(
    table: TemporalDifferenceTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]
) -> Evaluation:
    """Compute the error of the trained Critic's value for each state.

    The true values solve the Bellman equation. Errors are in per cent of the range of the true values.
    """
    process, (_, policy) = world(table), policies(table)
    values = state_values(process, process.uniform_policy if policy is None else policy, table.gamma)
    with torch.no_grad():
        played = trained(grammar, "Critic", states)(process.features)[:, 0].double()
    span = float(values.max() - values.min()) or 1.0  # if all values are equal they are 0, and the error is absolute
    errors = 100.0 * (played - values).abs()[~process.terminal] / span
    return Evaluation("error of the value", "states", tuple(errors.tolist()), " %", goal=LOWEST)


def world(table: TemporalDifferenceTable) -> MarkovProcess:
    """Make the Markov decision process that the setting `process` names.

    Raises ExperimentError for an unknown name, or if the user's function returns no `MarkovProcess`.
    """
    library = {
        "random-walk": lambda: random_walk(table.states),
        "boyan-chain": boyan_chain,
        "baird-star": baird_star,
    }
    process = shipped_or_made("temporal_difference.process", table.process, library, table.process_arguments)
    if not isinstance(process, MarkovProcess):
        raise ExperimentError(
            f"process {table.process!r} returned a {type(process).__name__}; expected an antiphon.envs.MarkovProcess. "
            "Return one."
        )
    return process


def policies(table: TemporalDifferenceTable) -> tuple[Tensor | None, Tensor | None]:
    """Return two policies for the process of an experiment: the policy that acts, and the policy that is evaluated.

    None as the first means the uniform policy; None as the second means the policy that acts.
    """
    return baird_policies() if table.process == "baird-star" else (None, None)


def _critic(table: TemporalDifferenceTable, process: MarkovProcess) -> Factory:
    width, kind = process.features.shape[1], process.features.dtype
    if not table.widths:
        return Factory.of(nn.Linear, width, 1, bias=False, dtype=kind)
    if kind is not torch.float32:
        raise ExperimentError(
            f"key 'temporal_difference.widths' is {table.widths} for features of {kind}; expected float32 for a "
            "network. Leave it empty, or make the features float32."
        )
    return Factory.of(Perceptron, width, 1, table.widths)


NAMES = {
    "semi-gradient": "semi-gradient",
    "residual-gradient": "residual",
    "double-residual-gradient": "double-residual",
    "gtd2": "gtd2",
    "tdc": "tdc",
    "implicit-temporal-difference": "implicit",
}
"""Further grammars of the library that differ only in the setting `method`: its value, by the grammar's name."""
VARIANTS = {
    name: {"temporal_difference.method": method, "temporal_difference.play": "draw"} for name, method in NAMES.items()
}
RECIPE = Recipe(
    "temporal-difference",
    TemporalDifferenceTable,
    build,
    evaluate,
    suite="antiphon.checks.suites.temporal_difference:SUITE",
    variants=VARIANTS,
)
