"""Experiments with a recurrent language model on the bytes of a text. Each layer of cells is a player."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from antiphon.envs import text_streams, text_windows
from antiphon.errors import ExperimentError
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.recurrent import recurrent
from antiphon.grammars.oracle import State
from antiphon.grammars.truncation import Truncation
from antiphon.oracles import memory
from antiphon.recipes.common.recipe import LOWEST, Evaluation, Recipe, trained
from antiphon.recipes.common.tables import Count, EvaluationTable, Table

_STREAMS = 16
"""Number of parts of the held-out text that are read side by side."""


class RecurrentTable(Table):
    """Settings of an experiment with a recurrent language model.

    text: path of a file; None for Python's language reference.
    context: number of bytes in a round, and so of steps.
    layers, width: number of layers of cells, and their width.
    through, every: truncated gradients: errors flow back through `through` steps, every `every` steps. None: through
    all steps of a round; every `through` steps.
    """

    text: str | None = None
    batch: Count = 16
    context: Count = 64
    layers: Count = 1
    width: Count = 128
    through: Count | None = None
    every: Count | None = None


def build(table: RecurrentTable) -> Grammar:
    """Make the recurrent grammar from the settings in `table`.

    Raises OracleError or GrammarError for settings that do not fit together.
    """
    nature = text_streams(_path(table), batch=table.batch, context=table.context)
    states = memory(*[(table.width,)] * (2 * table.layers), batch=table.batch)
    return recurrent(nature, states, table.width, layers=table.layers, truncation=_truncation(table))


@torch.no_grad()
def evaluate(
    table: RecurrentTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]
) -> Evaluation:
    """Compute the loss of the trained network, in bits per byte, for each window of the last tenth of the text.

    The state is carried from each window to the next one of the same part of the text.
    """
    x, y = text_windows(_path(table), table.context, "test")
    parts = min(_STREAMS, len(x))
    embedding, *cells, readout = (trained(grammar, each.name, states) for each in grammar.query.players)
    kept: list[list[Tensor]] = [[] for _ in cells]
    figures: list[Tensor] = []
    for inputs, after in zip(_by_round(x, parts), _by_round(y, parts), strict=True):
        top = embedding(inputs)
        for index, cell in enumerate(cells):
            top, *kept[index] = cell(top, *kept[index])
        logits = readout(top).transpose(1, 2)
        figures.append(torch.nn.functional.cross_entropy(logits, after, reduction="none").mean(1) / math.log(2))
    return Evaluation("bits per byte", "windows", tuple(map(float, torch.cat(figures))), goal=LOWEST)


def scaled(table: RecurrentTable, layers: int) -> RecurrentTable:
    """Return a copy of the settings in `table` for a network with `layers` layers of cells."""
    return table.model_copy(update={"layers": layers})


def _by_round(windows: Tensor, parts: int) -> tuple[Tensor, ...]:
    """Divide windows, in the order of a text, into parts that are read side by side: one (parts, context) per round."""
    rounds = len(windows) // parts
    return windows[: parts * rounds].view(parts, rounds, -1).unbind(1)


def _truncation(table: RecurrentTable) -> Truncation | None:
    if table.through is not None:
        return Truncation(table.through, table.every or table.through)
    if table.every is not None:
        raise ExperimentError(
            f"key 'recurrent.every' is {table.every}, and key 'recurrent.through' is not set; expected both, or "
            "neither. Set `through` to the number of steps through which errors flow back."
        )
    return None


def _path(table: RecurrentTable) -> Path | None:
    return Path(table.text) if table.text is not None else None


VARIANTS = {"recurrent-truncated": {"recurrent": {"through": 16, "every": 4}}}
RECIPE = Recipe(
    "recurrent",
    RecurrentTable,
    build,
    evaluate,
    scaled=scaled,
    suite="antiphon.checks.suites.recurrent:SUITE",
    variants=VARIANTS,
)
