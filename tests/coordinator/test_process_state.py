"""torch's settings: everyone plays with those of the process that made the assignment; the caller keeps its own."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.envs import arrays
from antiphon.grammars.factory import Factory
from antiphon.grammars.library import backprop
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.process_state import _SETTINGS, ProcessState

OTHER = {
    "default dtype": torch.float64,
    "deterministic algorithms": (True, True),
    "float32 matmul precision": "medium",
}


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    before = ProcessState.here()
    yield
    before.enter()


def other(name: str, value: object) -> object:
    return OTHER.get(name, not value)


SLOW = pytest.param("deterministic algorithms", marks=pytest.mark.slow)  # torch loads its compiler for it


@pytest.mark.parametrize("name", [SLOW, *sorted(_SETTINGS.keys() - set(SLOW.values))])
def test_every_setting_is_carried_and_left_as_it_was(name):
    before = ProcessState.here()
    _SETTINGS[name].set(other(name, dict(before.settings)[name]))
    carried = ProcessState.here()
    assert dict(carried.settings) == dict(before.settings) | {name: other(name, dict(before.settings)[name])}
    before.enter()
    with carried.entered():
        assert ProcessState.here() == carried
    assert ProcessState.here() == before


class Told(nn.Linear):
    """Notes what it was played with."""

    seen: list[tuple[object, ...]] = []  # noqa: RUF012 - shared by all on purpose

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        torch.set_default_dtype(torch.float16)  # bad manners
        assert self.weight.device.type == "cpu"

    def forward(self, input: Tensor) -> Tensor:
        Told.seen.append((torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), torch.get_default_dtype()))
        return super().forward(input)


def assignment() -> Assignment:
    return assign(backprop(data(), {"Told": Factory.of(Told, 3, 3)}))


def data() -> OracleDeclaration:
    return arrays(torch.randn(16, 3, dtype=torch.float32), torch.arange(16) % 3, batch=4)


def test_what_surrounds_a_call_changes_nothing():
    made = assignment()
    Told.seen.clear()
    with InlineExecutor(made) as inline:
        expected = inline.play(3).losses
    around = (torch.no_grad(), torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), torch.device("meta"))
    for context in around:
        with context, InlineExecutor(made) as inline:
            assert inline.play(3).losses == expected
            inline.states()
    assert set(Told.seen) == {(True, False, torch.float32)}
    assert torch.get_default_dtype() is torch.float32


def test_the_default_dtype_is_that_of_the_assignment():
    torch.set_default_dtype(torch.float64)
    made = assign(backprop(data(), {"A": Factory.of(Doubled)}))
    torch.set_default_dtype(torch.float32)
    with InlineExecutor(made) as inline:
        assert all(map(math.isfinite, inline.play(2).losses["Loss"].values))
        assert inline.states()["A"]["parameters"]["layer.weight"].dtype is torch.float64


class Doubled(nn.Module):
    """Of the default dtype inside."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, input: Tensor) -> Tensor:
        """float32 in, the default dtype out."""
        return self.layer(input.to(torch.get_default_dtype()))
