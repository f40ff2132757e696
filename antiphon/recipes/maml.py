"""Experiments with model-agnostic meta-learning: regression of sine waves, each of them a task."""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch.func import functional_call
from torch.nn.functional import mse_loss

from antiphon.envs.sinusoids import Sinusoids, sinusoids
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.maml import maml
from antiphon.grammars.library.networks import dense_layers
from antiphon.grammars.oracle import State
from antiphon.recipes.common.recipe import Evaluation, Recipe, trained
from antiphon.recipes.common.tables import Count, EvaluationTable, Positive, Table

TASKS = 200
"""The number of tasks of an evaluation."""


class MamlTable(Table):
    """Settings of an experiment with meta-learning.

    widths: widths of the layers before the output layer. step: the size of the step of each task. tasks: number of
    tasks in a round. batch: number of points of a task, before and after the step.
    """

    widths: list[Count] = Field(default=[40, 40])
    step: Positive = 0.01
    tasks: Count = 4
    batch: Count = 10


def build(table: MamlTable) -> Grammar:
    """Make the grammar from the settings in `table`."""
    layers = dense_layers((1,), table.widths, 1)
    return maml(sinusoids(batch=table.batch), layers, Factory.of(mse_loss), step=table.step, count=table.tasks)


def evaluate(
    table: MamlTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]
) -> Evaluation:
    """Compute the mean squared error on new tasks, after one step on the points of each task."""
    network = torch.nn.Sequential(*(trained(grammar, player.name, states) for player in grammar.query.players))
    tasks = Sinusoids(table.batch, torch.float32, seed=evaluation.first_seed)
    errors: list[float] = []
    for task in range(TASKS):
        x, y, later, wanted = tasks.answer("task", (), task)
        given = dict(network.named_parameters())
        slopes = torch.autograd.grad(mse_loss(network(x), y), list(given.values()))
        moved = {name: each - table.step * slope for (name, each), slope in zip(given.items(), slopes, strict=True)}
        errors.append(mse_loss(functional_call(network, moved, (later,)), wanted).item())
    return Evaluation("error after a step", "tasks", tuple(errors))


RECIPE = Recipe("maml", MamlTable, build, evaluate, suite="antiphon.checks.suites.maml:SUITE")
