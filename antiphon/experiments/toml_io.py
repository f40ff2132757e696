"""Write the values of an experiment as TOML text, and read TOML files."""

import codecs
import json
import math
import re
import tomllib
from collections.abc import Mapping
from datetime import date, time
from pathlib import Path
from typing import Any

from antiphon.errors import ExperimentError, unstopped

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml(table: Mapping[str, Any]) -> str:
    """Write a mapping as a TOML document. It may have numbers, strings, booleans, dates, None, lists and mappings.

    None is written as the string "None", because TOML has no null; `parse_toml` reads this string as None.

    >>> print(toml({"rounds": 5, "dac": {"widths": [64, 64], "keywords": {"g": 9.8}}}))
    rounds = 5
    <BLANKLINE>
    [dac]
    widths = [64, 64]
    <BLANKLINE>
    [dac.keywords]
    g = 9.8
    <BLANKLINE>
    """
    return "\n".join(_lines(table, ())).lstrip("\n") + "\n"


def parse_toml(path: Path, title: str) -> dict[str, Any]:  # Any: TOML
    """Parse a TOML file. Strings "None" become None.

    Raises ExperimentError if the file cannot be read or parsed. title: the beginning of the error message.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        reason = getattr(error, "strerror", None) or error
        raise ExperimentError(f"{title} cannot be read: {reason}. Expected a TOML file; correct the path.") from None
    try:
        return with_none(tomllib.loads(_decoded(content, title)))
    except tomllib.TOMLDecodeError as error:
        raise ExperimentError(f"{title} is not TOML: {unstopped(error)}. Correct that line.") from None
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits; brackets nested too deep
        raise ExperimentError(
            f"{title} is not TOML that we can read: {unstopped(error)}. Write smaller values."
        ) from None


_MARKS = {codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32", codecs.BOM_UTF16_LE: "UTF-16"}
_MARKS |= {codecs.BOM_UTF16_BE: "UTF-16"}
"""Byte-order marks of other encodings than UTF-8. UTF-32 comes before UTF-16, whose mark is a prefix of UTF-32's."""


def _decoded(content: bytes, title: str) -> str:
    """Decode the bytes of a file as UTF-8, with or without a byte-order mark, and turn all line ends into newlines.

    Raises ExperimentError for other encodings. title: the beginning of the error message.
    """
    other = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "")
    if other:
        raise ExperimentError(f"{title} is a text in {other}; expected UTF-8, as TOML is. Save it as UTF-8.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ExperimentError(
            f"{title} is not text in UTF-8: byte 0x{content[error.start]:02x} in line {line} is none of it; expected "
            "UTF-8, as TOML is. Save it as UTF-8."
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def with_none(value: Any) -> Any:  # Any: TOML
    """Return a copy of a TOML value in which None replaces each string "None", at every depth. TOML has no null.

    >>> with_none({"render_mode": "None", "sizes": [1, "None"]})
    {'render_mode': None, 'sizes': [1, None]}
    """
    if isinstance(value, Mapping):
        return {key: with_none(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [with_none(item) for item in value]
    return None if isinstance(value, str) and value == "None" else value


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    if path and (lines or not table):
        lines = ["", f"[{'.'.join(map(_key, path))}]", *lines]
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines += _lines(value, (*path, key))
    return lines


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, str):
        return _string(str(value))
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + "}"
    return value.isoformat() if isinstance(value, date | time) else repr(value)


def _string(text: str) -> str:
    # JSON strings are TOML basic strings, except that JSON does not escape the control character U+007F.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
