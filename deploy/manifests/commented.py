"""Writes YAML with comments. PyYAML writes the values; then each comment is inserted above its value."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

EDIT = "EDIT: "
Value = Any
"""A YAML value: mapping, list, string, number, boolean or None; or a `Noted` value. Any: it is recursive."""

_MARK = re.compile(r"(?P<before>[ -]*?)(?P<item>- )?antiphon-note-(?P<number>\d+)(?(item)|: null)")
"""A line that marks the place of a comment: a key of a mapping, or an item of a list."""


@dataclass(frozen=True)
class Noted:
    """A value with the comment that is written above it."""

    value: Value
    note: str


def edit(value: Value, note: str) -> Noted:
    """Return a value with a comment that begins with EDIT. Users must check such values, and change most of them."""
    return Noted(value, EDIT + note)


def bare(value: Value) -> Value:
    """Return the value without its comments and those of the values in it."""
    return _marked(value, None)


def documents(head: str, *values: Value) -> str:
    """Return the text of a YAML file: the comment `head`, then one document per value."""
    text = "---\n".join(map(_document, values))
    assert list(yaml.safe_load_all(text)) == [bare(value) for value in values], "YAML reads back as something else"
    return "\n".join([*_comment(head, ""), text])


class _Dumper(yaml.SafeDumper):
    """Writes YAML with indented lists. Equal parts are written in full each time, not as references to the first."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Write a text of several lines as a YAML block."""
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Dumper.add_representer(str, _Dumper.represent_str)


def _document(value: Value) -> str:
    """Return a value as YAML with its comments. A comment on the first key of a list item stands above the hyphen."""
    notes: list[str] = []
    text = yaml.dump(_marked(value, notes), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)
    lines, moved = [], ""
    for line in text.split("\n"):
        if found := _MARK.fullmatch(line):
            moved = moved if "-" in moved else found["before"]
            lines += _comment(notes[int(found["number"])], moved.partition("-")[0])
        else:
            lines.append(moved + line[len(moved) :])
            moved = ""
    return "\n".join(lines)


def _marked(value: Value, notes: list[str] | None) -> Value:
    """Return the value without comments. If `notes` is given, each comment goes there, and a marker takes its place."""
    if isinstance(value, Mapping):
        entries = {}
        for key, each in value.items():
            entries |= {**dict.fromkeys(_markers(each, notes)), key: _marked(each, notes)}
        return entries
    if isinstance(value, list):
        return [part for each in value for part in (*_markers(each, notes), _marked(each, notes))]
    return _marked(value.value, notes) if isinstance(value, Noted) else value


def _markers(value: Value, notes: list[str] | None) -> Iterator[str]:
    while notes is not None and isinstance(value, Noted):
        yield f"antiphon-note-{len(notes)}"
        notes.append(value.note)
        value = value.value


def _comment(text: str, indent: str) -> list[str]:
    return [f"{indent}# {line}".rstrip() for line in text.split("\n")] if text else []
