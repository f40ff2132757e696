"""Check settings by pydantic, with error messages that say the key, the expected and given values, and the remedy."""

from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from antiphon.errors import ExperimentError
from antiphon.plugins import nearest
from antiphon.recipes.common.spelling import BareWord

Model = TypeVar("Model", bound=BaseModel)

_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
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


def validated(model: type[Model], raw: Mapping[str, Any], title: str) -> Model:  # Any: TOML
    """Make an instance of the pydantic class `model` from parsed TOML.

    Raises ExperimentError if keys or values are not valid. The message begins with `title` and names all wrong keys.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        lines = [_refusal(dict(problem), model) for problem in error.errors(include_url=False)]
        raise ExperimentError(f"{title} is refused: " + "\n".join(dict.fromkeys(lines))) from None


def _refusal(problem: Mapping[str, Any], model: type[BaseModel]) -> str:
    where = [str(part) for part in problem["loc"]]
    key, kind = ".".join(where), problem["type"]
    if kind == "extra_forbidden":
        known = _keys(model, where[:-1])
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
    if kind == "value_error":
        return str(context["error"])
    return str(problem["msg"])


def _arrived(value: object) -> str:
    kinds = {
        bool: "the boolean",
        int: "the number",
        float: "the number",
        str: "the string",
        BareWord: "the bare word",
        list: "the list",
        dict: "the table",
    }
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return f"{kinds.get(type(value), 'the value')} {text}"


def _keys(model: Any, path: list[str]) -> list[str]:
    """Return the allowed keys of the table at `path` inside a pydantic class. model: the class, or a field's type."""
    model = next((each for each in get_args(model) if each is not type(None)), model) if _optional(model) else model
    if get_origin(model) is dict:
        return _keys(get_args(model)[1], path[1:])
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return []
    return _keys(model.model_fields[path[0]].annotation, path[1:]) if path else list(model.model_fields)


def _optional(annotation: Any) -> bool:
    return type(None) in get_args(annotation)
