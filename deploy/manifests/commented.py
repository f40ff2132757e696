"""Writes YAML with comments, and checks that it reads back as the same values."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

EDIT = "EDIT: "
Value = Any
"""A YAML value: mapping, sequence, string, number, boolean or None; or a `Noted` value. Any: it is recursive."""


@dataclass(frozen=True)
class Noted:
    """A value with the comment that is written above it."""

    value: Value
    note: str


def noted(value: Value, note: str) -> Noted:
    """Return a value with a comment that explains it."""
    return Noted(value, note)


def edit(value: Value, note: str) -> Noted:
    """Return a value with a comment that begins with EDIT: every user must check it, and most must change it."""
    return Noted(value, EDIT + note)


def bare(value: Value) -> Value:
    """Return the value without comments, at every depth."""
    if isinstance(value, Noted):
        return bare(value.value)
    if isinstance(value, Mapping):
        return {key: bare(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [bare(each) for each in value]
    return value


def documents(head: str, *values: Value) -> str:
    """Return the text of a YAML file: the comment `head`, then one document per value."""
    text = "\n".join([*_comment(head), "---\n".join("\n".join([*_lines(value), ""]) for value in values)])
    assert list(yaml.safe_load_all(text)) == [bare(value) for value in values], "YAML reads back as something else"
    return text


def _lines(value: Value) -> list[str]:
    if isinstance(value, Noted):
        return [*_comment(value.note), *_lines(value.value)]
    if isinstance(value, Mapping) and value:
        return [line for key, each in value.items() for line in _entry(f"{_scalar(key)}:", each)]
    if isinstance(value, Sequence) and value and not isinstance(value, str):
        return [line for each in value for line in _item(each)]
    return [_scalar(value)]


def _entry(key: str, value: Value) -> list[str]:
    if isinstance(value, Noted):
        return [*_comment(value.note), *_entry(key, value.value)]
    if isinstance(value, str) and "\n" in value:
        mark = "|" if value.endswith("\n") else "|-"
        return [f"{key} {mark}", *(f"  {line}".rstrip() for line in value.removesuffix("\n").split("\n"))]
    if value and isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        return [key, *(f"  {line}".rstrip() for line in _lines(value))]
    return [f"{key} {_scalar(value)}"]


def _item(value: Value) -> list[str]:
    if isinstance(value, Noted):
        return [*_comment(value.note), *_item(value.value)]
    if isinstance(value, str) and "\n" in value:
        return _entry("-", value)
    lines = _lines(value)
    above = list(itertools.takewhile(lambda line: line.startswith("#"), lines))
    first, *rest = lines[len(above) :]
    return [*above, f"- {first}", *(f"  {line}".rstrip() for line in rest)]


def _comment(text: str) -> list[str]:
    return [f"# {line}".rstrip() for line in text.split("\n")] if text else []


def _scalar(value: Value) -> str:
    if isinstance(value, str):
        return value if _plain(value) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping | Sequence):
        return "{}" if isinstance(value, Mapping) else "[]"
    return json.dumps(value)


def _plain(text: str) -> bool:
    """Whether YAML reads this text without quotes as the same string."""
    try:
        return yaml.safe_load(f"k: {text}") == {"k": text} and yaml.safe_load(text) == text
    except yaml.YAMLError:
        return False
