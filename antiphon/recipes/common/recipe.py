"""The class `Recipe`: how to build a grammar from its settings, and how to evaluate the trained players."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from antiphon.errors import ExperimentError, ShapeError, unstopped
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.inference import make_operator
from antiphon.grammars.module_state import load_module
from antiphon.grammars.oracle import State
from antiphon.grammars.query import Kind, Port
from antiphon.grammars.seeds import forked
from antiphon.recipes.common.tables import EvaluationTable, Table

Quantity: TypeAlias = Literal["mean", "norm"]
"""A number about the outputs of a player: the mean of all elements, or the mean Euclidean norm of the rows."""


LOWEST = -math.inf
"""The goal of an evaluation whose lower means are better, such as an error."""


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation of trained players on data that training never used.

    quantity: name of the measured quantity, such as "accuracy".
    of: name of the measured items in the plural, such as "images".
    figures: one number for each item.
    sign: text after a number, such as " %".
    cut: number of episodes that were cut off at `evaluation.max_steps`.
    goal: the best value of the mean. Infinity means that higher is better, `LOWEST` that lower is better.
    """

    quantity: str
    of: str
    figures: tuple[float, ...]
    sign: str = ""
    cut: int = 0
    goal: float = math.inf

    @property
    def mean(self) -> float:
        """The mean of the measured numbers; NaN if a number is not finite."""
        return fmean(self.figures) if self._finite else math.nan

    @property
    def deviation(self) -> float:
        """The standard deviation of the measured numbers; NaN if a number is not finite."""
        return pstdev(self.figures) if self._finite else math.nan

    def score(self, mean: float) -> float:
        """Return a number that is higher for a better `mean`. It is the mean itself if higher means are better.

        >>> [Evaluation("", "", (), goal=goal).score(3.0) for goal in (math.inf, LOWEST, 50.0)]
        [3.0, -3.0, -47.0]
        """
        if math.isinf(self.goal):
            return math.copysign(1.0, self.goal) * mean
        return -abs(mean - self.goal)

    @property
    def spread(self) -> bool:
        """Whether the standard deviation is worth printing: several numbers were measured, without a sign like "%"."""
        return len(self.figures) > 1 and not self.sign

    @property
    def _finite(self) -> bool:
        # `statistics` raises for NaN and infinities.
        return all(map(math.isfinite, self.figures))

    @property
    def line(self) -> str:
        """The evaluation in one line of text.

        >>> Evaluation("return", "episodes", (-100.0, -200.52)).line
        'evaluation return: -150.3 over 2 episodes'
        """
        cut = f", {self.cut} of them cut at evaluation.max_steps" if self.cut else ""
        return f"evaluation {self.quantity}: {self.mean:.1f}{self.sign} over {len(self.figures)} {self.of}{cut}"


@dataclass(frozen=True, eq=False)
class Recipe:
    """How experiments with one grammar are configured, built and evaluated.

    Recipes come from the library, or from entry points in the group "antiphon.grammars". The type Any in the fields
    stands for an instance of the class `table`.

    name: name of the grammar, with hyphens.
    table: class of the grammar's settings. Its key in an experiment is the name with underscores.
    build: makes the grammar from its settings.
    evaluate: computes the evaluation from saved states; None if the grammar has no evaluation.
    shipped: the values of the setting `data` that have a test split; empty if every experiment can be evaluated.
    settings: returns numbers that depend on the round, for the metrics.
    figures: by player, the quantities of its outputs to measure in each batch of rounds, by name: "mean", or "norm" (of
    a row). film: plays one episode and writes it to a video file; None if the grammar has no environment.
    scaled: returns the settings for a network with the given number of layers, for scans of the key `layers`; None if
    not possible.
    suite: "module:name" of the test suite that `antiphon check` runs. Only that command imports it.
    variants: further pictures in the gallery, by name, each with changed keys of an experiment.
    """

    name: str
    table: type[Table]
    build: Callable[[Any], Grammar]
    evaluate: Callable[[Any, EvaluationTable, Grammar, Mapping[str, State]], Evaluation] | None = None
    shipped: tuple[str, ...] = ()
    settings: Callable[[Any, int], Mapping[str, float]] = lambda table, round: {}
    figures: Mapping[str, Mapping[str, Quantity]] = field(default_factory=dict)
    film: Callable[[Any, EvaluationTable, Grammar, Mapping[str, State], Path], None] | None = None
    scaled: Callable[[Any, int], Any] | None = None
    suite: str = ""
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The key of the grammar's settings in an experiment: the grammar's name with underscores."""
        return self.name.replace("-", "_")

    def judges(self, table: Any) -> bool:
        """Return whether a run with the settings `table` can be evaluated. A user's own data has no test split."""
        return self.evaluate is not None and (not self.shipped or table.data in self.shipped)

    def __call__(self, **arguments: Any) -> Grammar:
        """Make the grammar from settings as keyword arguments. Raises pydantic's ValidationError for wrong keywords."""
        return self.build(self.table(**arguments))


def trained(grammar: Grammar, player: str, states: Mapping[str, State]) -> nn.Module:
    """Make the module of a player, load the player's saved state into it, and return it in evaluation mode.

    states: the saved states, by player. Raises ExperimentError if the player's state is missing, or belongs to another
    module.
    """
    declaration = grammar.query.player_by_name[player]
    with forked():
        module: nn.Module = declaration.factory()
    if player not in states:
        raise ExperimentError(
            f"the checkpoint has no state of player {player!r}; expected one, found {sorted(states)}. "
            "Name the folder of a run of this grammar."
        )
    try:
        load_module(f"player {player!r}", module, states[player])
    except (KeyError, ShapeError) as error:
        raise ExperimentError(
            f"the checkpoint's state of player {player!r} is not of {declaration.factory!r}: {unstopped(error)}. "
            "Evaluate a run with the experiment that it was trained with."
        ) from error
    return module.eval()


@torch.no_grad()
def predicted(grammar: Grammar, states: Mapping[str, State], x: Tensor, value: Port | None = None) -> Tensor:
    """Compute the predictions of the trained players for the examples x, with modules in evaluation mode.

    The examples, (n, ...), replace the first output of the first oracle. Returns the values at the port `value`; by
    default the first input of the first loss. states: the saved states, by player.
    """
    query = grammar.query
    values = {Port(query.nodes[0].name): x}
    players = {player.name: trained(grammar, player.name, states) for player in query.players}
    for node in query.nodes:
        asked = players.get(node.owner) if node.kind is Kind.PLAYER else node.operator
        if asked is not None and node.view is None and all(port in values for port in node.inputs):
            function = make_operator(asked) if isinstance(asked, Factory) else asked
            found = (function.eval() if isinstance(function, nn.Module) else function)(*map(values.get, node.inputs))
            outputs = (found,) if isinstance(found, Tensor) else found
            values |= {Port(node.name, index): value for index, value in enumerate(outputs)}
    loss = next(node for node in query.nodes if node.kind is Kind.LOSS)
    return values[value or loss.inputs[0]]


def deepened(key: str, table: Any, layers: int, convolutions: int = 0) -> Any:  # Any: a table with `widths`
    """Return a copy of the settings in `table` for a network with `layers` layers.

    All hidden dense layers get the width of the first one.
    key: the key of `table` in the experiment, for error messages. convolutions: number of convolutions, which come
    before the dense layers. Raises ExperimentError if `layers` is not larger than this number.
    """
    if layers <= convolutions:
        raise ExperimentError(
            f"a network of {layers} layers was asked for, and key '{key}.channels' has {convolutions} already; "
            f"expected {convolutions + 1} or more. Use fewer channels, or more layers."
        )
    return table.model_copy(update={"widths": table.widths[:1] * (layers - convolutions - 1)})
