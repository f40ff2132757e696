"""Experiments from TOML: a shipped one by name, a file, or a user's grammar; changed key by key; refused in words."""

import importlib.resources
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from antiphon.errors import ExperimentError
from antiphon.experiment import RECIPES, Experiment, key_of
from antiphon.finding import nearest
from antiphon.installed import GRAMMARS, installed

Raw = dict[str, Any]  # Any: TOML


def shipped() -> Mapping[str, Path]:
    """The experiments that come with antiphon, by name. Each grammar of the library has one of its own name."""
    folder = Path(str(importlib.resources.files("antiphon") / "experiments"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"), key=lambda path: path.stem)}


def read_experiment(name: str, changes: Mapping[str, Any] | Iterable[str] = ()) -> Experiment:
    """The experiment `name`, with `changes` ("a.b=value", or a mapping of dotted keys to values) made to it.

    name: a shipped experiment or a library grammar, a path to a TOML file, "module:factory", or an installed grammar.
    Raises ExperimentError for what is unknown, does not parse, or is of another type; it names every such key.
    """
    raw, title = _raw(name)
    pairs = changes.items() if isinstance(changes, Mapping) else map(parse_change, changes)
    for key, value in pairs:
        _set(raw, key.split("."), value)
    return checked(raw, title)


def parse_change(text: str) -> tuple[str, Any]:
    """Key and value of "key=value"; the value is TOML, or else a string.

    >>> parse_change("dac.widths=[64, 64]"), parse_change("dac.environment=Pendulum-v1")
    (('dac.widths', [64, 64]), ('dac.environment', 'Pendulum-v1'))
    """
    key, found, value = text.partition("=")
    if not found or not all(key.split(".")):
        raise ExperimentError(
            f"--set takes key=value, and {text!r} arrived. Write it like --set agent.arguments.lr=0.01"
        )
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def checked(raw: Mapping[str, Any], title: str) -> Experiment:
    """The experiment of parsed TOML. Raises ExperimentError that names every wrong key."""
    try:
        experiment = Experiment.model_validate(raw)
    except ValidationError as error:
        lines = [_refusal(dict(problem)) for problem in error.errors(include_url=False)]
        raise ExperimentError(f"{title} is refused: " + "\n".join(lines)) from None
    return _with_own_table(experiment, title)


def _raw(name: str) -> tuple[Raw, str]:
    if ":" in name and not name.endswith(".toml"):
        return {"grammar": name}, f"grammar {name!r}"
    known = shipped()
    if name in known and not name.endswith(".toml"):
        return _parse(known[name], f"experiment {name!r}"), f"experiment {name!r}"
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return _parse(path, f"experiment {name!r}"), f"experiment {name!r}"
    known = [*known, *installed(GRAMMARS)]
    if name in known:
        return {"grammar": name}, f"grammar {name!r}"
    raise ExperimentError(
        f"grammar {name!r} is not known; expected one of {', '.join(known)}, a path to a .toml file, or "
        f"'module:factory'. {nearest(name, known)}See `antiphon list`."
    )


def _parse(path: Path, title: str) -> Raw:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ExperimentError(f"{title} cannot be read: {reason}. Expected a TOML file; correct the path.") from None
    except tomllib.TOMLDecodeError as error:
        raise ExperimentError(f"{title} is not TOML: {error}. Correct that line.") from None


def _set(raw: Raw, keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        if not isinstance(raw.get(key), dict):
            raw[key] = {}
        raw = raw[key]
    raw[keys[-1]] = value


def _with_own_table(experiment: Experiment, title: str) -> Experiment:
    name = experiment.grammar
    known = [*RECIPES, *(() if experiment.recipe or ":" in name else installed(GRAMMARS))]
    if ":" not in name and name not in known:
        raise ExperimentError(
            f"{title} is refused: grammar {name!r} is not known; expected one of {', '.join(known)}, or "
            f"'module:factory'. {nearest(name, known)}Correct the key 'grammar'."
        )
    own = key_of(name) if experiment.recipe else "arguments"
    strange = [key for key in (*map(key_of, RECIPES), "arguments") if getattr(experiment, key)]
    for key in strange:
        if key != own:
            raise ExperimentError(
                f"{title} is refused: key {key!r} does not belong to grammar {name!r}; "
                f"expected the table [{own}]. Remove it, or change the grammar."
            )
    if experiment.recipe is None or getattr(experiment, own) is not None:
        return experiment
    return checked({**experiment.model_dump(exclude_unset=True), own: {}}, title)


_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a string",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "of at least"),
    "greater_than": ("gt", "above"),
    "less_than_equal": ("le", "of at most"),
}


def _refusal(problem: Mapping[str, Any]) -> str:
    where = [str(part) for part in problem["loc"]]
    key, kind = ".".join(where), problem["type"]
    if kind == "extra_forbidden":
        known = _keys(Experiment, where[:-1])
        near = nearest(where[-1], known)
        return f"there is no key {key!r}; expected one of {', '.join(known)}. {near}Correct or remove it."
    if kind == "missing":
        return f"key {key!r} is missing. Add it."
    return f"key {key!r} takes {_expected(problem)}, and {_arrived(problem['input'])} arrived. Correct the value."


def _expected(problem: Mapping[str, Any]) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"a number {words} {context[bound]:g}"
    if kind == "literal_error":
        return str(context["expected"])
    return str(problem["msg"])


def _arrived(value: object) -> str:
    kinds = {
        bool: "the boolean",
        int: "the number",
        float: "the number",
        str: "the string",
        list: "the list",
        dict: "the table",
    }
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return f"{kinds.get(type(value), 'the value')} {text}"


def _keys(model: Any, path: list[str]) -> list[str]:
    """The keys of the table at `path`. Any: an annotation of a field, or a model."""
    model = next((each for each in get_args(model) if each is not type(None)), model) if _optional(model) else model
    if get_origin(model) is dict:
        return _keys(get_args(model)[1], path[1:])
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return []
    return _keys(model.model_fields[path[0]].annotation, path[1:]) if path else list(model.model_fields)


def _optional(annotation: Any) -> bool:
    return type(None) in get_args(annotation)
