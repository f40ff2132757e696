"""Parts of parameters: who may move them, and what is whole already."""

import re

import pytest
import torch
from torch import nn

from antiphon.agents.shards import in_parts, is_sharded, part, refuse_agent, shard, whole
from antiphon.errors import PlacementError


@pytest.mark.parametrize(("agent", "optimizer", "name"), [("torch", "LBFGS", "LBFGS"), ("my:Own", "Adam", "my:Own")])
def test_an_agent_that_needs_the_whole_is_refused(agent: str, optimizer: str, name: str) -> None:
    text = (
        f"player 'First' is sharded and its agent is {name!r}; expected one of torch's that moves each element by "
        "itself: ASGD, Adadelta, Adagrad, Adam, AdamW, Adamax, NAdam, RAdam, RMSprop, Rprop, SGD. "
        "Name one of these, or leave the player whole."
    )
    with pytest.raises(PlacementError, match=re.escape(text)):
        refuse_agent("First", agent, optimizer)
    refuse_agent("First", "torch", "SGD")


def test_what_is_whole_stays_so() -> None:
    value = torch.randn(3)
    assert not is_sharded(value) and part(value) is value and in_parts(value, value) is value
    assert torch.equal(whole(value), value) and whole(value).data_ptr() != value.data_ptr()


def test_parameters_that_lie_column_by_column_are_not_divided() -> None:
    module = nn.Linear(4, 3)
    module.weight = nn.Parameter(torch.randn(4, 3).t())
    with pytest.raises(PlacementError, match=r"'weight' with strides \(1, 3\).*row by row.*contiguous"):
        shard(module, None)  # pyright: ignore[reportArgumentType] - refused before the mesh is looked at
