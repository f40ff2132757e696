"""Fills templates of files that are not YAML."""

import importlib.resources
import re
from collections.abc import Mapping

_PLACE = re.compile(r"\{\{(\w+)\}\}")


def filled(name: str, values: Mapping[str, str]) -> str:
    """Return the template `name` with each `{{key}}` replaced. A line with only an empty value is removed.

    Raises AssertionError if a placeholder has no value, or a value no placeholder.
    """
    text = (importlib.resources.files("antiphon.deploy.manifests") / "templates" / name).read_text()
    places = set(_PLACE.findall(text))
    assert places == set(values), f"template {name!r} has {sorted(places)}, and {sorted(values)} are given"
    lines = [line for line in text.split("\n") if (key := _PLACE.fullmatch(line)) is None or values[key.group(1)]]
    return _PLACE.sub(lambda found: values[found.group(1)], "\n".join(lines))
