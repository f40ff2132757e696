"""Fill the Jinja templates of manifests."""

import json
import shlex
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from antiphon.deploy.manifests.order import ManifestInput

_BREAKS = {"\x85", "\u2028", "\u2029"}
"""Characters that are line ends in YAML 1.1 only. A text with one of them is written with escapes."""


def filled(name: str, order: ManifestInput, **more: Any) -> str:  # Any: what a template reads
    """Fill a Jinja template of a manifest, and return the text.

    name: name of the template. order: its fields are variables of the template. more: further variables.
    In a template, the filter `yaml` writes a text as a YAML value, quoted if necessary.
    """
    templates = Environment(
        loader=PackageLoader("antiphon.deploy.manifests"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {"yaml": _yaml, "json": json.dumps, "quote": shlex.quote}
    return templates.get_template(name).render({**vars(order), **more})


def _yaml(text: str) -> str:
    """Write a text as a YAML value: plain, quoted, or a block if it has several lines. No line end follows it."""
    unicode = not _BREAKS & {*text}
    style = "|" if unicode and "\n" in text else None
    written = yaml.safe_dump(text, default_style=style, allow_unicode=unicode, width=10**6)
    return written.removesuffix("...\n").removesuffix("\n")
