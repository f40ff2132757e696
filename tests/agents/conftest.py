"""The hand-written agent, and one thread for all."""

from collections.abc import Callable, Iterator

import pytest
import torch

from rigs.agents import Momentum


@pytest.fixture
def momentum() -> type[Momentum]:
    return Momentum


@pytest.fixture
def named() -> Callable[[type], str]:
    """A class as `module:Class`, as experiments name agents."""
    return lambda kind: f"{kind.__module__}:{kind.__qualname__}"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
