"""The option `--scan` of `antiphon cost`: repeat one experiment with several values of one key."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from antiphon.errors import ExperimentError
from antiphon.experiments.experiment import Experiment
from antiphon.experiments.load import read_experiment
from antiphon.recipes import LIBRARY, recipe_of
from antiphon.recipes.common.spelling import spelled

LAYERS = "layers"


@dataclass(frozen=True)
class Scan:
    """A key of an experiment, and the values with which the experiment is repeated (at least one).

    key: a key of the experiment, a key of its grammar's own settings, or `layers`; "" to change nothing.
    """

    key: str
    values: tuple[Any, ...]  # Any: TOML


NO_SCAN = Scan("", (None,))
"""The scan that uses the experiment once and unchanged."""


def parse_scan(text: str) -> Scan:
    """Parse a scan from the text "key=value,value,...". Raises ExperimentError for another text.

    >>> parse_scan("layers=2,4,8")
    Scan(key='layers', values=(2, 4, 8))
    >>> parse_scan("backprop.widths=[8],[8, 8]").values, parse_scan("network=dense,convolutional").values
    (([8], [8, 8]), ('dense', 'convolutional'))
    >>> parse_scan("agent.arguments.amsgrad=True,False,None").values
    (True, False, None)
    """
    key, _, values = (part.strip() for part in text.partition("="))
    if not values or not all(key.split(".")):
        raise ExperimentError(
            f"--scan takes key=value,value,..., and {text!r} arrived. Write it like --scan layers=2,4,8"
        )
    together = spelled(f"[{values}]")
    found = tuple(together if isinstance(together, list) else map(spelled, values.split(",")))
    if key == LAYERS and not all(isinstance(each, int) and not isinstance(each, bool) and each > 0 for each in found):
        raise ExperimentError(
            f"--scan layers takes whole numbers of at least 1, and {values!r} arrived. "
            "Write it like --scan layers=2,4,8"
        )
    return Scan(key, found)


def scanned(
    name: str, changes: Mapping[str, Any], key: str, value: Any, placement: str | None = None
) -> Experiment:  # Any: TOML
    """Read the experiment `name`, apply `changes`, then set `key` to `value`, and return the experiment.

    key: a key of the experiment, or of the grammar's own settings (whose name may be left out). The key `layers` sets
    the number of layers of a library grammar, or the argument `layers` of a user's function.
    Raises ExperimentError for an unknown key.
    """
    experiment = read_experiment(name, changes, placement)
    recipe = experiment.recipe
    if not key:
        return experiment
    if key != LAYERS or recipe is None:
        return read_experiment(name, {**changes, _full(experiment, key): value}, placement)
    if recipe.scaled is None:
        having = [name for name in LIBRARY if (other := recipe_of(name)) and other.scaled]
        raise ExperimentError(
            f"grammar {experiment.grammar!r} has no layers to scan; expected one of {', '.join(having)}, or a key of "
            "its own table. Scan another key."
        )
    return experiment.model_copy(update={recipe.key: recipe.scaled(experiment.table, value)})


def for_grammar(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:  # Any: TOML
    """Return the changes that concern the grammar `name`: all, except those of settings of other library grammars."""
    others = {each.replace("-", "_") for each in LIBRARY if each != read_experiment(name).grammar}
    return {key: value for key, value in changes.items() if key.split(".")[0] not in others}


def _full(experiment: Experiment, key: str) -> str:
    first = key.split(".")[0]
    if first in type(experiment).model_fields:
        return key
    return f"{experiment.recipe.key}.{key}" if experiment.recipe is not None else f"arguments.{key}"
