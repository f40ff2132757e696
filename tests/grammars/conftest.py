"""The exact text of a refusal, a draft to begin with, and one thread for all."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from antiphon.grammars.draft import QueryDraft, Value
from antiphon.grammars.random_grammars import samples


@pytest.fixture
def refusal() -> Callable[[type[Exception], Callable[[], Any]], str]:
    """The text of the error, of exactly this class, that an act raises."""

    def text(kind: type[Exception], act: Callable[[], Any]) -> str:
        with pytest.raises(kind) as caught:
            act()
        assert type(caught.value) is kind
        return str(caught.value)

    return text


@pytest.fixture
def begun() -> tuple[QueryDraft, Value, Value]:
    """A draft with Nature's x (batch, 3) and y (batch, 2), in float64."""
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(4, (3,), (2,)))()
    return q, x, y


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
