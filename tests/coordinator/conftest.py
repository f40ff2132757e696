"""The exact text of a refusal, and one thread for all."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch


@pytest.fixture
def refusal() -> Callable[[type[Exception], Callable[[], Any]], str]:
    """The text of the error, of exactly this class, that an act raises."""

    def text(kind: type[Exception], act: Callable[[], Any]) -> str:
        with pytest.raises(kind) as caught:
            act()
        assert type(caught.value) is kind
        return str(caught.value)

    return text


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
