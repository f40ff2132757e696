"""Values that need no test of their own: other values, which are tested, show that they are NaN or infinite."""

import itertools
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from antiphon.grammars.library.gan import discernment
from antiphon.grammars.library.kickback import kicked
from antiphon.grammars.library.kicking import OutputLayer, RectifierLayer, Weights
from antiphon.grammars.maps import negate, over_batch, scale
from antiphon.oracles.operator import Operator

WRONG = (torch.nan, torch.inf, -torch.inf)
SHOWING: Mapping[str, tuple[Any, int]] = {
    "linear": (nn.Linear(3, 2), 1),
    "chain": (nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 4), nn.ReLU()), 1),
    "kicking": (RectifierLayer(3, 4, signed=True), 1),
    "coherent": (RectifierLayer(3, 4, weights=Weights.COHERENT), 1),
    "last": (OutputLayer(3), 1),
    "squares": (mse_loss, 2),
    "gan": (discernment, 2),
}
"""Operators whose inputs are not tested, and their number of inputs."""


@pytest.mark.parametrize(("function", "inputs"), SHOWING.values(), ids=SHOWING)
def test_an_operator_that_shows_nan_shows_each_one(function, inputs):
    # So the inputs of these operators need no test of their own.
    torch.manual_seed(0)
    values = [torch.randn(4, 3).abs() for _ in range(inputs)]
    played = function(*values)
    played = played if isinstance(played, tuple) else (played,)
    types = [(tuple(each.shape), each.dtype) for each in played]
    learned = list(function.parameters()) if isinstance(function, nn.Module) else []
    box = Operator("it", function, types, inputs, range(inputs) if not learned else (), learned)
    assert box.shows_nan
    for index, place in itertools.product(range(inputs), range(12)):
        spoilt = [value.clone() for value in values]
        spoilt[index].view(-1)[place] = torch.nan
        assert any(each.isnan().any() for each in box.query(spoilt, 0))
    for number, place in itertools.product(WRONG if learned else (), range(played[0].numel())):
        (first, *_), message = box.query(values, 0), torch.zeros(played[0].shape)
        message.view(-1)[place] = number
        shown = any(not each.isfinite().all() for each in box.respond([message, *[None] * (len(played) - 1)])[1])
        assert shown or first.view(-1)[place] == 0  # a ReLU


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(
    ("function", "messages"), [(negate, 1), (partial(scale, factor=0.0), 1), (over_batch, 1), (kicked, 2)]
)
def test_a_map_that_shows_wrong_numbers_shows_each_one(function, messages, wrong):
    assert getattr(function, "func", function).shows_nonfinite
    for index, place in itertools.product(range(messages), range(4)):
        values = [torch.zeros(4, 1) for _ in range(messages)]
        values[index][place] = wrong
        assert not function(*values).isfinite().all()


def test_a_label_that_cross_entropy_ignores_hides_nothing():
    box = Operator("it", cross_entropy, [((), torch.float32)], 2, (0,))
    assert not box.shows_nan
