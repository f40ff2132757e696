"""RESULTS.md has one section per benchmark. A benchmark replaces its section when it runs again."""

import os
import platform
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

RESULTS = Path(__file__).with_name("RESULTS.md")
_HEADING = re.compile(r"^##? .*", re.MULTILINE)
_TITLE = """# Results

Each section is written by the command that it names. Ratios are of one run; absolute times are of a shared machine and
say little.
"""


def write_section(title: str, text: str) -> None:
    """Write a section into RESULTS.md, in the place of the section with the same title, or at the end.

    RESULTS.md is read as whole sections, each from its heading to the next one. So the text has no heading of its own
    of this level. Raises ValueError for such a text.
    """
    if heading := _HEADING.search(text):
        raise ValueError(
            f"the section {title!r} holds the line {heading.group()!r}; expected no heading of the first two levels, "
            "because the next run would leave what follows it. Use ### or a table."
        )
    before = RESULTS.read_text() if RESULTS.exists() else _TITLE
    head, *sections = re.split(r"^(?=## )", before, flags=re.MULTILINE)
    by_title = {each.partition("\n")[0].removeprefix("## ").strip(): each for each in sections}
    by_title[title] = f"## {title}\n\n{text}"
    RESULTS.write_text("\n\n".join(each.strip() for each in (head, *by_title.values())) + "\n")


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
    return f"{os.cpu_count()} cores ({processor()}), no GPU, Python {platform.python_version()}, torch {release}"


def processor() -> str:
    """The name of the processor. On Linux, where Python knows the architecture only, it is in /proc/cpuinfo."""
    described = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", described.read_text()) if described.exists() else None
    return found.group(1) if found else platform.processor()
