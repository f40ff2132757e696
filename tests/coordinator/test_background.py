"""Work in a thread leaves nothing behind that the end of the process could meet."""

import weakref
from functools import partial

import pytest
import torch

from antiphon.coordinator.background import in_background


@pytest.mark.parametrize("work", [torch.sum, torch.linalg.inv], ids=["returns", "raises"])
def test_what_was_worked_on_is_freed_when_the_result_is_there(work) -> None:
    for _ in range(50):
        tensor = torch.ones(3)
        held = weakref.ref(tensor)
        future = in_background(partial(work, tensor))
        del tensor
        assert (future.exception(60) is None) is (work is torch.sum)
        assert held() is None
