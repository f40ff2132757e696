"""Modules of an example, imported as its user would: by name, from its own folder."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def example(monkeypatch) -> Iterator[Callable[[str], ModuleType]]:
    before = set(sys.modules)

    def call(name: str) -> ModuleType:
        folder, module = name.split("/")
        monkeypatch.chdir(EXAMPLES / folder)
        monkeypatch.syspath_prepend(str(EXAMPLES / folder))
        return importlib.import_module(module)

    yield call
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if name not in before and Path(file).is_relative_to(EXAMPLES):
            del sys.modules[name]
