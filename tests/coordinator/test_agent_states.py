"""What a checkpoint saves comes back as it is; all else is refused, by `check_agent` and `check_oracle` too."""

from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, strategies as st
from torch import Tensor

from antiphon.coordinator.checkpoint import load_states
from antiphon.errors import ExperimentError
from antiphon.testing.laws import BrokenLaw, demand_saved
from rigs.checkpoints import write_checkpoint

plain = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.sampled_from(["$tensor", "a/b"])),
    st.sampled_from([torch.bfloat16, torch.float32, torch.int64, torch.bool]).map(
        lambda dtype: torch.ones(2, dtype=dtype)
    ),
    st.sampled_from([torch.tensor(float("nan")), torch.zeros(0, 3), torch.arange(6.0).view(2, 3).t()]),
)
foreign = st.sampled_from([{1}, b"x", 1j, np.float32(1), np.int64(1), np.zeros(2), object, torch.float32, range(3)])
keys = st.one_of(st.text(max_size=3), st.integers(), st.booleans(), st.none(), st.just("$tuple"), st.just((1, None)))


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(leaves, containers, max_leaves=6)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, max_size=2)
    return st.one_of(several, several.map(tuple), st.dictionaries(keys, inner, max_size=2))


def same(one: Any, other: Any) -> bool:
    """Equal in value and in type, at every depth; NaN equals NaN, and 0.0 is not -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and torch.equal(one.nan_to_num(7), other.nan_to_num(7))
    if isinstance(one, dict):
        pairs = zip(one.items(), other.items(), strict=True)
        return len(one) == len(other) and all(same(key, its) and same(a, b) for (key, a), (its, b) in pairs)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


def back(state: Any) -> Any:
    with TemporaryDirectory() as folder:
        write_checkpoint(folder, {"agent": state})
        return load_states(folder)["agent"]


@given(st.dictionaries(keys, nested(plain), max_size=3))
@example({0: {1: 2.0}, "0": (), True: [], None: {}})
def test_what_can_be_saved_comes_back_as_it_is(state):
    demand_saved(state)
    assert same(back(state), state)


@given(st.dictionaries(keys, nested(plain | foreign), min_size=1, max_size=3))
def test_what_would_not_come_back_as_it_is_is_refused(state):
    try:
        found = back(state)
    except ExperimentError:
        with pytest.raises(BrokenLaw, match=r"^expected a state that can be saved; "):
            demand_saved(state)
    else:
        demand_saved(state)
        assert same(found, state)
