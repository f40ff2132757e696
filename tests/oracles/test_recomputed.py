"""A player that keeps no activations: the same bits, and nothing is kept between query and response."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import Precision, spread
from antiphon.coordinator.plan.step_order import StepOrder
from antiphon.errors import GrammarError, PlacementError
from antiphon.grammars.factory import Factory
from antiphon.grammars.library import backprop
from antiphon.grammars.states import same_states
from antiphon.oracles.operator import Operator
from rigs.games import convolutional, points, specifications, with_dropout


def states_of(grammar, recomputed, order, precision=()):
    placement = replace(spread(grammar), recomputed=recomputed, precision=precision)
    assignment = assign(grammar, specifications(grammar), placement=placement, order=order, microbatches=2, seed=3)
    with InlineExecutor(assignment) as executor:
        executor.play(8)
        return executor.states()


@pytest.mark.parametrize("order", list(StepOrder))
@pytest.mark.parametrize("game", [with_dropout, convolutional])
def test_queries_that_are_computed_again_change_no_bit(game, order):
    grammar = game()
    players = tuple(player.name for player in grammar.query.players)
    assert same_states(states_of(grammar, players, order), states_of(grammar, (), order))


def test_in_float16_too():
    grammar = convolutional()
    rounded = (("Conv", Precision.FLOAT16),)
    again, once = (states_of(grammar, each, StepOrder.ZERO_BUBBLE, rounded) for each in (("Conv",), ()))
    assert same_states(again, once)


class Counting(nn.Module):
    """Counts the numbers that autograd keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.kept = nn.Linear(8, 8), 0

    def forward(self, x):
        """Sigmoid of a linear layer: (batch, 8) -> (batch, 8)."""

        def pack(value):
            self.kept += value.numel()
            return Held(self, value.detach())

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held.value):
            return torch.sigmoid(self.linear(x))


class Held:
    """A tensor that autograd keeps; counted off when it is dropped."""

    def __init__(self, counter: Counting, value: torch.Tensor) -> None:
        self.counter, self.value = counter, value

    def __del__(self) -> None:
        self.counter.kept -= self.value.numel()


def test_between_query_and_response_nothing_is_kept():
    for device, expected in ((torch.device("cpu"), True), (None, False)):
        module = Counting()
        parameters = tuple(module.parameters())
        box = Operator("player 'x'", module, [((5, 8), torch.float32)], 1, (0,), parameters, 2, recompute=device)
        (y,) = box.query([torch.randn(5, 8)], 0)
        assert (module.kept == 0) is expected
        box.respond([y], (0,), parameters=False)
        assert module.kept > 0  # for the second response
        box.respond([y])
        assert module.kept == 0  # dropped after the last one


def test_a_module_that_changes_its_buffers_is_refused():
    grammar = backprop(points(4), {"Norm": Factory.of(nn.BatchNorm1d, 4), "Last": Factory.of(nn.Linear, 4, 3)})
    placement = replace(spread(grammar), recomputed=("Norm",))
    with (
        InlineExecutor(assign(grammar, placement=placement)) as executor,
        pytest.raises(GrammarError, match=r"'Norm'.*buffers.*`recompute`"),
    ):
        executor.play(1)


def test_a_sharded_player_and_a_stranger_are_refused():
    grammar = with_dropout()
    sharded = replace(spread(grammar), replicas=(("First", 2),), sharded=("First",), recomputed=("First",))
    for placement, told in ((sharded, "recompute"), (replace(spread(grammar), recomputed=("Frist",)), "'Frist'")):
        with pytest.raises(PlacementError, match=told):
            assign(grammar, placement=placement)
