"""Random streams: whoever draws from a global one draws the same in every executor, order and process, and leaves the
caller's as they were."""

import random
from collections.abc import Iterable
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from numpy.random.mtrand import get_bit_generator, set_bit_generator
from torch import nn

from antiphon.coordinator import nonfinite
from antiphon.coordinator.entries import Entry, play_round
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import Placement, spread, together
from antiphon.coordinator.streams import draws_from_torch_alone
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.penalty import Penalised, squared_norm
from antiphon.grammars.reference import compose
from rigs.games import wide
from rigs.streams import IN_A_GRAMMAR, IN_AN_AGENT, STREAMS, erratic, wanderer

PLACES = st.fixed_dictionaries({place: st.sampled_from(sorted(STREAMS)) for place in IN_A_GRAMMAR + IN_AN_AGENT})


def of(at, places):
    return {place: at[place] for place in places}


def losses(grammar: Grammar, agent, placement: Placement, *rounds: int) -> list[float]:
    """Of a run in pieces, each in an executor of its own that continues from the last."""
    found, states, done = [], None, 0
    for count in rounds:
        with InlineExecutor(assign(grammar, agent, placement=placement, seed=3)) as executor:
            if states is not None:
                executor.load(states, done)
            found += executor.play(count).losses["Loss"].values
            states, done = executor.states(), executor.round
    return found


def streams():
    return torch.get_rng_state().numpy().tobytes(), repr(np.random.get_state()), random.getstate()


def disturb() -> None:
    for draw in STREAMS.values():
        draw()
    np.random.randn()  # an odd number of them leaves one in store


def disturbed(entries: Iterable[Entry], round: int) -> None:
    """A round, each step of it after other draws than in another process."""
    for entry in entries:
        disturb()
        play_round([entry], round)


@settings(max_examples=15)
@given(PLACES)
def test_wherever_something_draws_the_numbers_are_the_runs_own(at):
    grammar, agent = erratic(**of(at, IN_A_GRAMMAR)), wanderer(**of(at, IN_AN_AGENT))
    disturb()
    before = streams()
    expected = losses(grammar, agent, together(grammar), 4)
    assert streams() == before
    with mock.patch.object(nonfinite, "play_round", disturbed):
        assert losses(grammar, agent, spread(grammar), 4) == expected
    assert losses(grammar, agent, together(grammar), 1, 3) == expected


def test_a_hook_that_is_added_later_draws_the_runs_own_numbers():
    """Before that, the products of the layers are computed by hand, and nothing is seeded."""
    found = []
    for play in (play_round, disturbed):
        with InlineExecutor(assign(wide(), seed=3)) as executor, mock.patch.object(nonfinite, "play_round", play):
            executor.play(1)
            for module in executor.modules().values():
                module.register_forward_hook(lambda *called: called[2] + torch.rand(()))
            found.append(executor.play(3).losses["Loss"].values)
    assert found[0] == found[1]


@pytest.mark.parametrize("place", IN_A_GRAMMAR + IN_AN_AGENT)
def test_what_draws_is_seen_in_the_numbers_and_each_round_draws_anew(place):
    at = dict.fromkeys(IN_A_GRAMMAR + IN_AN_AGENT, "none") | {place: "numpy"}
    grammar, agent = erratic(**of(at, IN_A_GRAMMAR)), wanderer(**of(at, IN_AN_AGENT))
    calm = losses(erratic(), wanderer(), together(grammar), 3)
    assert losses(grammar, agent, together(grammar), 3) != calm


@pytest.mark.parametrize("stream", ["torch", "numpy", "python"])
def test_the_reference_draws_what_a_run_draws(stream):
    grammar = erratic(
        data=stream, item=stream, module=stream, forward=stream, operator=stream, oracle=stream, loss=stream
    )
    with InlineExecutor(assign(grammar, wanderer(), seed=3)) as executor:
        states = executor.states()
        (played,) = executor.play(1).losses["Loss"].values
    assert compose(grammar, states, seed=3).loss().item() == played


def test_a_draft_leaves_the_streams_alone():
    before = streams()
    erratic(**dict.fromkeys(IN_A_GRAMMAR, "numpy"))
    erratic(**dict.fromkeys(IN_A_GRAMMAR, "torch"))
    erratic(**dict.fromkeys(IN_A_GRAMMAR, "python"))
    assert streams() == before


def test_numpys_stream_of_another_kind_is_the_callers_afterwards():
    before = get_bit_generator()
    try:
        set_bit_generator(np.random.PCG64(1))
        expected = np.random.PCG64(1).state
        losses(erratic(item="numpy"), wanderer(), together(erratic()), 2)
        assert get_bit_generator().state == expected
    finally:
        set_bit_generator(before)


class Own(nn.Linear):
    """Of somebody else."""


def test_only_torchs_and_antiphons_own_code_is_known_to_draw_from_torch_alone():
    hooked, replaced, activated = nn.Linear(2, 2), nn.Linear(2, 2), nn.TransformerEncoderLayer(2, 1)
    hooked.register_forward_hook(lambda *_: None)
    replaced.forward = lambda input: input
    activated.activation = lambda value: value
    parametrized = nn.Linear(2, 2)
    nn.utils.parametrize.register_parametrization(parametrized, "weight", Own(2, 2))
    told = nn.Linear(2, 2)
    told.weight.register_hook(lambda gradient: gradient)
    nested = nn.Sequential(nn.Linear(2, 2), nn.Sequential(Own(2, 2)))
    penalised = Penalised(Factory.of(nn.Linear, 2, 2), Factory.of(Own, 2, 2))
    for strange in (Own(2, 2), hooked, replaced, activated, parametrized, told, nested, penalised, lambda: 1):
        assert not draws_from_torch_alone(strange)
    known = Penalised(Factory.of(nn.Linear, 2, 2), Factory.of(squared_norm))
    convolution = nn.Sequential(nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1), nn.Dropout())
    for ours in (known, convolution, torch.add, nn.functional.mse_loss, nn.TransformerEncoderLayer(2, 1), nn.GRU(2, 2)):
        assert draws_from_torch_alone(ours)
