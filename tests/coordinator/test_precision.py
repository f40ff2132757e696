"""A player's precision changes its own arithmetic and nothing else: edges keep their types, clones play as it plays."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from antiphon.coordinator.hosted import Hosted
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import Placement, Precision, spread, together
from antiphon.coordinator.plan.steps import Slot
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.library import backprop
from antiphon.oracles.autocast import exponent_of, times_power
from rigs.games import points, small_dac, specifications

LOW = {Precision.BFLOAT16: torch.bfloat16, Precision.FLOAT16: torch.float16}


class Hidden(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 9))


def layered() -> Grammar:
    return backprop(points(6), {"First": Factory.of(Hidden), "Last": Factory.of(nn.Linear, 9, 3)})


def with_precision(placement: Placement, **precision: Precision) -> Placement:
    return replace(placement, precision=tuple(precision.items()))


def one_round(placement: Placement) -> tuple[dict[str, Tensor], dict[str, list[Tensor]], Mapping[str, Tensor]]:
    """Every value of the first round by its name, what players were delivered, and First's parameters."""
    values: dict[str, Tensor] = {}

    def watch(round: int, held: Mapping[Slot, Tensor]) -> None:
        values.update({repr(slot): value.clone() for slot, value in held.items()})

    with InlineExecutor(assign(layered(), RECORDER, placement=placement, seed=2), watch=watch) as play:
        play.play(1)
        return values, delivered(play), play.states()["First"]["parameters"]


@pytest.mark.parametrize("precision", LOW)
def test_a_round_is_what_torch_autocast_computes(precision: Precision) -> None:
    values, heard, parameters = one_round(with_precision(together(layered()), First=precision))
    module, told = Hidden(), values["R[Last *]"]
    module.load_state_dict(parameters)
    with torch.autocast("cpu", LOW[precision]):
        played = module(values["Q[Nature.sample]"])
    assert played.dtype is LOW[precision] and torch.equal(values["Q[First]"], played.float())
    scale = exponent_of([told]) if precision is Precision.FLOAT16 else torch.tensor(0)
    expected = torch.autograd.grad(played.float(), list(module.parameters()), times_power(told, -scale))
    for found, known in zip(heard["First"], expected, strict=True):
        assert torch.equal(found, times_power(known, scale))


@pytest.mark.parametrize("precision", LOW)
def test_edges_keep_their_types_and_others_their_arithmetic(precision: Precision) -> None:
    values, heard, _ = one_round(with_precision(together(layered()), First=precision))
    plain, heard_plain, _ = one_round(together(layered()))
    assert {name: value.dtype for name, value in values.items()} == {name: plain[name].dtype for name in values}
    assert all(each.dtype is torch.float32 for own in heard.values() for each in own)
    assert not torch.equal(values["Q[First]"], plain["Q[First]"])
    last = nn.Linear(9, 3)
    with InlineExecutor(assign(layered(), seed=2)) as play:
        last.load_state_dict(play.states()["Last"]["parameters"])
    assert torch.equal(values["Q[Last]"], last(values["Q[First]"]))  # Last is computed as declared
    for found, known in zip(heard["First"], heard_plain["First"], strict=True):
        assert torch.allclose(found, known, atol=0.02)


def test_declared_is_as_if_nothing_was_said() -> None:
    values, heard, _ = one_round(with_precision(together(layered()), First=Precision.DECLARED))
    plain, heard_plain, _ = one_round(together(layered()))
    assert all(torch.equal(values[name], plain[name]) for name in plain)
    assert all(map(torch.equal, heard["First"], heard_plain["First"]))


def test_clones_play_in_the_precision_of_their_player() -> None:
    grammar = small_dac()
    (clone,) = grammar.query.clones[:1]
    node = next(node for node in grammar.query.nodes if node.owner == clone.name)
    inputs = [torch.randn(kind.sized(grammar.query.sizes)) for kind in map(grammar.query.type_of, node.inputs)]
    placement = with_precision(together(grammar), **{clone.player: Precision.BFLOAT16})
    hosted, plain = (Hosted(assign(grammar, placement=each), "inline") for each in (placement, together(grammar)))
    low, declared = (each.answer(node)(inputs, 0)[0] for each in (hosted, plain))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        expected = hosted.clones[clone.name].module(*inputs)
    assert torch.equal(low, expected.float()) and not torch.equal(low, declared)


@pytest.mark.parametrize("precision", LOW)
def test_placements_change_no_bit_of_it(precision: Precision) -> None:
    grammar = small_dac()
    players = {player.name: precision for player in grammar.query.players}
    states = []
    for placement in (together(grammar), spread(grammar)):
        placed = with_precision(placement, **players)
        with InlineExecutor(assign(grammar, specifications(grammar), placement=placed, seed=4)) as play:
            losses = play.play(40).losses
            states.append((losses, {name: play.states()[name]["parameters"] for name in players}))
    assert states[0][0] == states[1][0]
    for name, parameters in states[0][1].items():
        assert all(torch.equal(value, states[1][1][name][key]) for key, value in parameters.items())
        assert all(value.isfinite().all() for value in parameters.values())
