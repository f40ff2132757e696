"""RESULTS.md has one section per benchmark. A benchmark replaces its section when it runs again."""

import os
import platform
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

RESULTS = Path(__file__).with_name("RESULTS.md")
_TITLE = """# Results

Each section is written by the command that it names. Ratios are of one run; absolute times are of a shared machine and
say little.
"""


def write_section(title: str, text: str) -> None:
    """Write a section into RESULTS.md. It replaces an existing section with the same title."""
    before = RESULTS.read_text() if RESULTS.exists() else _TITLE
    section = f"## {title}\n\n{text.strip()}\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    replaced, count = pattern.subn(lambda _: section + "\n", before)
    RESULTS.write_text((replaced if count else before.rstrip() + "\n\n" + section).rstrip() + "\n")


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table. The first column is left-aligned, the others right-aligned.

    >>> print(table(["who", "ms"], [["plain", 1.5]]))
    | who | ms |
    | --- | ---: |
    | plain | 1.5 |
    """
    lines = [" | ".join(header), " | ".join(["---", *["---:"] * (len(header) - 1)])]
    lines += [" | ".join(map(str, row)) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def machine() -> str:
    """The machine and the software versions, in one line."""
    release = torch.__version__.split("+")[0]
    return f"{os.cpu_count()} cores, no GPU, Python {platform.python_version()}, torch {release}"
