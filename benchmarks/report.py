"""Writes RESULTS.md, which has one section per benchmark. A benchmark replaces its section when it runs again."""

import argparse
import os
import platform
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).with_name("RESULTS.md")
_HEADING = re.compile(r"^##? .*", re.MULTILINE)
_TITLE = """# Results

Each section is written by the command that it names. Ratios are of one run; absolute times are of a shared machine and
say little.
"""


def options(description: str | None, **defaults: int | float | list[int]) -> dict[str, Any]:  # Any: as the defaults
    """Read the options of a benchmark from the command line, one for each default, and of its type."""
    parser = argparse.ArgumentParser(description=description)
    for name, default in defaults.items():
        if isinstance(default, list):
            parser.add_argument(f"--{name}", type=int, nargs="+", default=default)
        else:
            parser.add_argument(f"--{name}", type=type(default), default=default)
    return vars(parser.parse_args())


def write_section(title: str, text: str) -> None:
    """Write a section into RESULTS.md, in the place of the section with the same title, or at the end.

    A section ends at the next heading of the first or second level. Raises ValueError for a text with such a heading.
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
    """Return a Markdown table. The first column is left-aligned, the others right-aligned.

    >>> print(table(["who", "ms"], [["plain", 1.5]]))
    | who | ms |
    | --- | ---: |
    | plain | 1.5 |
    """
    lines = [" | ".join(header), " | ".join(["---", *["---:"] * (len(header) - 1)])]
    lines += [" | ".join(map(str, row)) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def machine() -> str:
    """Return one line that describes this machine and the versions of the software."""
    release = torch.__version__.split("+")[0]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{os.cpu_count()} cores ({processor()}), {gpu}, Python {platform.python_version()}, torch {release}"


def processor() -> str:
    """Return the name of the processor.

    On Linux it is read from /proc/cpuinfo, because Python knows the architecture only.
    """
    described = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", described.read_text()) if described.exists() else None
    return found.group(1) if found else platform.processor()
