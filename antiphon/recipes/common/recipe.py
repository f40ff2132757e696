"""What experiments know of a grammar beyond its graphs: how a table makes it, how what it trained is judged."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import fmean, pstdev
from typing import Any

from torch import nn

from antiphon.checks.suite import Suite
from antiphon.errors import ExperimentError, ShapeError
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.module_state import load_module
from antiphon.grammars.oracle import State
from antiphon.grammars.seeds import forked
from antiphon.recipes.common.tables import EvaluationTable, Table


@dataclass(frozen=True)
class Evaluation:
    """Figures on what training never saw. quantity: what each is; of: what each is of, in plural; sign: behind each;
    cut: how many of them were cut off before their end, at `evaluation.max_steps`."""

    quantity: str
    of: str
    figures: tuple[float, ...]
    sign: str = ""
    cut: int = 0

    @property
    def mean(self) -> float:
        """Over all figures."""
        return fmean(self.figures) if self._finite else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation of the figures."""
        return pstdev(self.figures) if self._finite else math.nan

    @property
    def spread(self) -> bool:
        """Whether a deviation says something: there are several figures, and none is a percentage of all or nothing."""
        return len(self.figures) > 1 and not self.sign

    @property
    def _finite(self) -> bool:
        # `statistics` raises for NaN and infinities.
        return all(map(math.isfinite, self.figures))

    @property
    def line(self) -> str:
        """The one line that tells it.

        >>> Evaluation("return", "episodes", (-100.0, -200.52)).line
        'evaluation return: -150.3 over 2 episodes'
        """
        cut = f", {self.cut} of them cut at evaluation.max_steps" if self.cut else ""
        return f"evaluation {self.quantity}: {self.mean:.1f}{self.sign} over {len(self.figures)} {self.of}{cut}"


@dataclass(frozen=True, eq=False)
class Recipe:
    """A grammar as antiphon knows it: one of the library, or an entry point in the group "antiphon.grammars".

    Any, wherever it stands: an instance of `table`.
    name: with hyphens. table: of an experiment; its key is the name with underscores. build: the grammar of a table.
    evaluate: from the grammar and everyone's state at a round boundary; None where there is nothing to judge by.
    judges: whether there is, with this table. settings: figures that follow from the round, for the metrics. scaled:
    the table of a network of so many layers, for scans of `layers`. suite: what `antiphon check` measures.
    variants: tables whose graphs differ from those of the experiment of this name, by the name under which the gallery
    shows them, as keys of the experiment.
    """

    name: str
    table: type[Table]
    build: Callable[[Any], Grammar]
    evaluate: Callable[[Any, EvaluationTable, Grammar, Mapping[str, State]], Evaluation] | None = None
    judges: Callable[[Any], bool] = lambda table: True
    settings: Callable[[Any, int], Mapping[str, float]] = lambda table, round: {}
    scaled: Callable[[Any, int], Any] | None = None
    suite: Callable[[], Suite] | None = None
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The key of its table in an experiment."""
        return self.name.replace("-", "_")

    def __call__(self, **arguments: Any) -> Grammar:
        """The grammar of a table with these keys. Raises what pydantic and `build` refuse them with."""
        return self.build(self.table(**arguments))


def trained(grammar: Grammar, player: str, states: Mapping[str, State]) -> nn.Module:
    """A player's module with the parameters and buffers of a saved state, ready to be asked.

    Raises ExperimentError when the state is missing, or of another module.
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
            f"the checkpoint's state of player {player!r} is not of {declaration.factory!r}: {error}. "
            "Evaluate a run with the experiment that it was trained with."
        ) from error
    return module.eval()
