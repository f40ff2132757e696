"""Experiments with language models: a transformer on the bytes of a text. Each block is a player."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch

from antiphon.envs import text, text_windows
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.transformer import next_symbol_loss, transformer
from antiphon.grammars.oracle import State
from antiphon.recipes.common.recipe import LOWEST, Evaluation, Recipe, predicted
from antiphon.recipes.common.tables import Count, EvaluationTable, Table

_AT_ONCE = 64  # windows


class TransformerTable(Table):
    """Settings of an experiment with a language model.

    text: path of a file; None for Python's language reference.
    context: number of bytes in a window.
    blocks, width, heads: number of blocks of the transformer, their width, and their number of attention heads.
    """

    text: str | None = None
    batch: Count = 16
    context: Count = 64
    blocks: Count = 2
    width: Count = 64
    heads: Count = 4


def build(table: TransformerTable) -> Grammar:
    """Make the transformer grammar from the settings in `table`.

    Raises OracleError or GrammarError for settings that do not fit together.
    """
    nature = text(_path(table), batch=table.batch, context=table.context)
    return transformer(nature, table.blocks, table.width, table.heads, table.context)


def evaluate(
    table: TransformerTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]
) -> Evaluation:
    """Compute the loss of the trained transformer, in bits per byte, for each window of the last tenth of the text."""
    x, y = text_windows(_path(table), table.context, "test")
    parts = [predicted(grammar, states, part) for part in x.split(_AT_ONCE)]
    nats = [next_symbol_loss(each[None], after[None]) for each, after in zip(torch.cat(parts), y, strict=True)]
    return Evaluation("bits per byte", "windows", tuple(float(each) / math.log(2) for each in nats), goal=LOWEST)


def scaled(table: TransformerTable, layers: int) -> TransformerTable:
    """Return a copy of the settings in `table` for a transformer with `layers` blocks."""
    return table.model_copy(update={"blocks": layers})


def _path(table: TransformerTable) -> Path | None:
    return Path(table.text) if table.text is not None else None


RECIPE = Recipe(
    "transformer", TransformerTable, build, evaluate, scaled=scaled, suite="antiphon.checks.suites.transformer:SUITE"
)
