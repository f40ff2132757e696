"""Parse a value from the command line as TOML, as Python, or as text without quotes."""

import ast
import tomllib
from typing import Any, final


@final
class BareWord(str):
    """A value from the command line that is neither TOML nor Python: a text without quotes.

    Settings that must be strings accept it as a string. Other settings refuse it.
    """


def spelled(text: str) -> Any:  # Any: a value of TOML or Python
    """Parse a value from the command line: as TOML, else as Python, else as a `BareWord`.

    >>> spelled("1e-3"), spelled("true"), spelled("True"), spelled("None"), spelled("(1, None)"), spelled('"no"')
    (0.001, True, True, None, [1, None], 'no')
    >>> spelled("Pendulum-v1"), type(spelled("Pendulum-v1")).__name__
    ('Pendulum-v1', 'BareWord')
    """
    text = text.strip()
    try:
        # A second key, a comma or a comment behind the value may pass one of these two, but not both.
        inside, (value,) = tomllib.loads(f"value = {text}"), tomllib.loads(f"value = [{text}]")["value"]
        return value if inside.keys() == {"value"} else BareWord(text)
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        return _python(text)


def _python(text: str) -> Any:  # Any: as above
    try:
        value, (same,) = ast.literal_eval(text), ast.literal_eval(f"[{text}]")
        return _as_toml(value) if type(value) is type(same) else BareWord(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return BareWord(text)


def _as_toml(value: object) -> object:
    """Return a value with its tuples replaced by lists. Raises ValueError for types that TOML does not have."""
    if isinstance(value, list | tuple):
        return [_as_toml(item) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _as_toml(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(value)
