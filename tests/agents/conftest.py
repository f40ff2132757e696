"""The hand-written agent, and the names of classes."""

from collections.abc import Callable

import pytest

from rigs.agents import Momentum


@pytest.fixture
def momentum() -> type[Momentum]:
    return Momentum


@pytest.fixture
def named() -> Callable[[type], str]:
    """A class as `module:Class`, as experiments name agents."""
    return lambda kind: f"{kind.__module__}:{kind.__qualname__}"
