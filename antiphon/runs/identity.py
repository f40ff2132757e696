"""Says which keys of an experiment decide the numbers of a run. Only other keys may change when a run is resumed."""

import hashlib
from collections.abc import Mapping
from typing import Any

from antiphon.errors import ExperimentError
from antiphon.experiments.toml_io import toml

FREE = frozenset(
    [
        "rounds",
        "executor",
        "transport",
        "order",
        "deadline",
        "checksum",
        "rounds_per_report",
        "max_recoveries",
        "checkpoint_every",
        "checkpoint_every_seconds",
        "checkpoint_folder",
        "keep_checkpoints",
        "keep_best",
        "best_is",
        "on_nonfinite",
        "placement",
        "evaluation",
    ]
)
"""Keys that change how, where and how long a run plays, but no number.

`on_nonfinite` changes numbers only after a value was NaN or infinite.
"""


def digest_of(table: Mapping[str, Any]) -> str:  # Any: TOML
    """Return the SHA-256 of the keys that decide the numbers of a run. table: the experiment with all defaults."""
    return hashlib.sha256(toml(_binding(table)).encode()).hexdigest()


def refuse_changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:  # Any: TOML
    """Raise ExperimentError if a key that decides the numbers has changed.

    before, now: the experiment of the run, and that of the resumed run, both with all defaults.
    """
    ours, theirs = _flat(_binding(before)), _flat(_binding(now))
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            raise ExperimentError(
                f"key {key!r} was {ours.get(key)!r} in the run; a change to {theirs.get(key)!r} arrived. Expected the "
                f"same numbers as without an interruption; a resumed run may change {', '.join(sorted(FREE))}. Leave "
                "the key as it is, or begin a new run."
            )


def _binding(table: Mapping[str, Any]) -> dict[str, Any]:
    # A player computes with the precision that its placement names.
    precision = {name: own["precision"] for name, own in table["placement"]["of"].items() if "precision" in own}
    return {**{key: value for key, value in table.items() if key not in FREE}, "precision": precision}


def _flat(table: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found = {}
    for key, value in table.items():
        inner = isinstance(value, Mapping)
        found |= _flat(value, f"{above}{key}.") if inner else {f"{above}{key}": value}
    return found
