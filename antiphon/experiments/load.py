"""Read an experiment from a TOML file, or make it for a grammar; apply changes of single keys, and check all keys."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from antiphon.coordinator.plan.placement import hosted
from antiphon.errors import ExperimentError
from antiphon.experiments.experiment import Experiment, kind_of
from antiphon.experiments.placements import placement_named
from antiphon.experiments.shipped import shipped
from antiphon.experiments.toml_io import parse_toml, with_none
from antiphon.experiments.validation import validated
from antiphon.grammars.typed import typed
from antiphon.plugins import nearest, refuse_foreign
from antiphon.recipes import LIBRARY, known, recipe_of
from antiphon.recipes.common.spelling import spelled

Raw = dict[str, Any]  # Any: TOML


@typed
def read_experiment(
    name: str | Path,
    changes: Mapping[str, Any] | Iterable[str] = (),
    placement: str | None = None,
    allow: Iterable[str] | None = None,
) -> Experiment:
    """Read an experiment, and apply changes of single keys.

    name: name of an experiment or grammar that comes with antiphon, of a plugin's grammar, a path to a TOML file, or
    "module:factory" for a user's function that makes a grammar.
    changes: texts "a.b=value", or a mapping from keys "a.b" to values.
    placement: replaces the table [placement] before the changes are applied: "own" (keeps it), "spread" (one worker for
    each part), "together" (one worker), or the path of a TOML file.
    allow: modules whose code the file may name, if another person may have written it. None allows all modules.
    Raises ExperimentError, which names all keys that are unknown, cannot be parsed, or have a wrong value.
    """
    name = str(name)
    raw, title = _raw(name)
    if allow is not None:
        refuse_foreign(name, raw, allow)
    pairs = list(changes.items() if isinstance(changes, Mapping) else map(parse_change, changes))
    if placement is not None:
        table = placement_named(placement, lambda: hosted(read_experiment(name, dict(pairs)).build()))
        raw |= {} if table is None else {"placement": table}
    for key, value in pairs:
        _set(raw, str(key).split("."), with_none(value))
    return checked(raw, title)


def parse_change(text: str) -> tuple[str, Any]:
    """Parse a change of an experiment, "key=value", into (key, value).

    The value is read as TOML, else as Python, else as text without quotes (`BareWord`).

    >>> parse_change("dac.widths=[64, 64]"), parse_change("dac.environment=Pendulum-v1")
    (('dac.widths', [64, 64]), ('dac.environment', 'Pendulum-v1'))
    """
    key, found, value = text.partition("=")
    if not found or not all(part.strip() for part in key.split(".")):
        raise ExperimentError(
            f"--set takes key=value, and {text!r} arrived. Write it like --set agent.arguments.lr=0.01"
        )
    return key.strip(), spelled(value)


def merged(changes: Iterable[str] | None, **options: Any) -> dict[str, Any]:  # Any: TOML
    """Merge the changes given by --set ("key=value") with command-line options. Returns values by key.

    Options that are None are left out. If both set a key, the option is used.
    """
    return dict(map(parse_change, changes or ())) | {key: value for key, value in options.items() if value is not None}


def checked(raw: Mapping[str, Any], title: str) -> Experiment:
    """Make an experiment from parsed TOML.

    Raises ExperimentError for wrong keys or values. title: the beginning of the error message.
    """
    _refuse_unencodable(raw, title)
    return validated(_kind(raw, title), raw, title)


def _refuse_unencodable(raw: Any, title: str, path: tuple[str, ...] = ()) -> None:  # Any: TOML
    """Raise ExperimentError if an experiment contains a string that UTF-8 cannot encode.

    Command-line arguments may contain such strings.
    """
    if isinstance(raw, Mapping):
        for key, value in raw.items():
            _refuse_unencodable(str(key), title, path)
            _refuse_unencodable(value, title, (*path, str(key)))
    elif isinstance(raw, list | tuple):
        for value in raw:
            _refuse_unencodable(value, title, path)
    elif isinstance(raw, str) and any("\ud800" <= letter <= "\udfff" for letter in raw):
        raise ExperimentError(
            f"{title} is refused: key {'.'.join(path)!r} takes text in UTF-8, and {raw!r} arrived. Write it in UTF-8."
        )


def _raw(name: str) -> tuple[Raw, str]:
    if ":" in name and not name.endswith(".toml"):
        return {"grammar": name}, f"grammar {name!r}"
    ours = shipped()
    path = Path(name) if name.endswith(".toml") else ours.get(name, Path(name))
    if path.suffix == ".toml" or os.path.isfile(path):  # `Path.is_file` raises for a name that is too long
        return parse_toml(path, f"experiment {name!r}"), f"experiment {name!r}"
    if name in known():
        return {"grammar": name}, f"grammar {name!r}"
    names = list(dict.fromkeys((*ours, *known())))
    raise ExperimentError(
        f"grammar {name!r} is not known; expected one of {', '.join(names)}, a path to a .toml file, or "
        f"'module:factory'. {nearest(name, names)}See `antiphon list`."
    )


def _set(raw: Raw, keys: list[str], value: Any) -> None:
    for position, key in enumerate(keys[:-1]):
        if raw.get(key) is None:
            raw[key] = {}
        raw = raw[key]
        if not isinstance(raw, dict):
            above = ".".join(keys[: position + 1])
            raise ExperimentError(
                f"key {'.'.join(keys)!r} was to be set, and {above!r} is {raw!r}; expected a table there. "
                f"Correct the key, or set {above!r} itself."
            )
    raw[keys[-1]] = value


def _kind(raw: Mapping[str, Any], title: str) -> type[Experiment]:
    """Return the class of an experiment from its parsed TOML. The class depends on the key "grammar".

    Raises ExperimentError for an unknown grammar, or for settings that belong to another grammar.
    """
    name = raw.get("grammar")
    if not isinstance(name, str):
        return Experiment  # its validation raises the error
    if ":" not in name and name not in known():
        raise ExperimentError(
            f"{title} is refused: grammar {name!r} is not known; expected one of {', '.join(known())}, or "
            f"'module:factory'. {nearest(name, known())}Correct the key 'grammar'."
        )
    recipe = recipe_of(name)
    own = recipe.key if recipe else "arguments"
    for key in (*(each.replace("-", "_") for each in LIBRARY), "arguments"):
        if raw.get(key) and key != own:
            raise ExperimentError(
                f"{title} is refused: key {key!r} does not belong to grammar {name!r}; "
                f"expected the table [{own}]. Remove it, or change the grammar."
            )
    return kind_of(recipe) if recipe else Experiment
