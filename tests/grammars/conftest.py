"""A draft to begin with."""

import pytest

from antiphon.grammars.draft import QueryDraft, Value
from antiphon.grammars.random_grammars import samples


@pytest.fixture
def begun() -> tuple[QueryDraft, Value, Value]:
    """A draft with Nature's x (batch, 3) and y (batch, 2), in float64."""
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(4, (3,), (2,)))()
    return q, x, y
