"""Experiments with truncated backpropagation through time: digits that a recurrent network reads row by row."""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn

from antiphon.envs import arrays, digits_arrays
from antiphon.envs.dataset import Split
from antiphon.errors import ExperimentError
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.truncated_bptt import truncated_bptt
from antiphon.grammars.oracle import State
from antiphon.recipes.common.credit import share_right
from antiphon.recipes.common.data import DataTable, example_of, nature_of
from antiphon.recipes.common.recipe import Evaluation, Recipe, predicted
from antiphon.recipes.common.tables import Count, EvaluationTable

CELLS: Mapping[str, tuple[type[nn.Module], int]] = {
    "rnn": (nn.RNNCell, 1),
    "gru": (nn.GRUCell, 1),
    "lstm": (nn.LSTMCell, 2),
}
"""Torch's recurrent cells, and how many tensors of state each carries."""


class TruncatedBpttTable(DataTable):
    """Settings of an experiment with truncated backpropagation through time.

    data: "digits", or "module:function" for the user's own sequences, (batch, steps, features).
    cell: the kind of torch's recurrent cell. width: of the recurrent network. through, every: errors flow back through
    `through` steps, every `every` steps.
    classes: number of classes.
    """

    cell: Literal["rnn", "gru", "lstm"] = "rnn"
    width: Count = 64
    through: Count = 4
    every: Count = 2
    classes: Count = 10


def _rows(split: Split) -> tuple[Tensor, Tensor]:
    """Return the images of a split of digits as sequences of rows, (items, 8, 8), and the digits, (items,)."""
    x, y = digits_arrays(split)
    return x.view(len(x), 8, 8), y


def build(table: TruncatedBpttTable) -> Grammar:
    """Make the grammar of truncated backpropagation through time from the settings in `table`.

    Raises ExperimentError or GrammarError for settings that do not fit together.
    """
    nature = nature_of(
        "truncated_bptt", table, {"digits": lambda: arrays(*_rows("train"), batch=table.batch)}, labelled=True
    )
    example = example_of(nature)
    if len(example) != 2:
        raise ExperimentError(
            f"key 'truncated_bptt.data' names examples of the shape {example}; expected sequences, (steps, features). "
            "Reshape them."
        )
    kind, carried = CELLS[table.cell]
    cell, readout = Factory.of(kind, example[1], table.width), Factory.of(nn.Linear, table.width, table.classes)
    return truncated_bptt(nature, cell, readout, through=table.through, every=table.every, carried=carried)


def evaluate(
    table: TruncatedBpttTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]
) -> Evaluation:
    """Compute the accuracy after the last row, in per cent, on the whole test split of digits.

    states: the saved state of each player, by name.
    """
    x, y = _rows("test")
    return share_right(predicted(grammar, states, x)[:, -1], y)


RECIPE = Recipe(
    "truncated-bptt",
    TruncatedBpttTable,
    build,
    evaluate,
    shipped=("digits",),
    suite="antiphon.checks.suites.truncated_bptt:SUITE",
)
