"""antiphon: deep learning as a game of players and oracles. Each public name is imported on first use."""

import ast
import importlib
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

_HOME: dict[str, str] = {
    alias.name: node.module
    for node in ast.parse(Path(__file__).with_suffix(".pyi").read_text()).body
    if isinstance(node, ast.ImportFrom) and node.module
    for alias in node.names
}
"""The module of each public name, read from the file `__init__.pyi`, which type checkers use too."""

__all__ = ["__version__", *sorted(_HOME)]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:  # Any: public names are of many kinds; type checkers read __init__.pyi
    if name not in _HOME:
        raise AttributeError(f"module 'antiphon' has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
