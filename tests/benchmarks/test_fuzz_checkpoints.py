"""Damaged checkpoints give the stated error and no other; without a new signature, no changed value."""

import pytest

from antiphon.coordinator.storage import folder_at
from benchmarks.fuzz_checkpoints import fuzz


@pytest.mark.parametrize("seed", [1, 2])
def test_only_the_stated_error_is_raised(seed):
    told = fuzz(folder_at(f"memory://fuzz-{seed}"), 300, seed)
    assert told["refused"] > 200 and told.total() == 300
