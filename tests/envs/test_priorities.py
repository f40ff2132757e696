"""Prioritised transitions: drawn as often as their errors say, and weighted so that means stay means."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from antiphon.envs.gymnasium import nature
from antiphon.envs.priorities import LEAST, Priorities
from antiphon.envs.replay_options import ReplayOptions
from antiphon.errors import ExperimentError, OracleError
from antiphon.grammars.states import same_states
from rigs.environments import Line


def prioritised(errors, alpha):
    found = Priorities(len(errors), alpha)
    found.add(np.arange(len(errors)))
    found.update(np.arange(len(errors)), errors)
    return found


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5000), st.floats(0.1, 1), st.integers(0, 99))
def test_rows_are_drawn_in_proportion_to_their_priorities(rows, alpha, seed):
    errors = np.random.default_rng(seed).normal(size=rows) * 10
    drawn = prioritised(errors, alpha).draw(64, rows, torch.Generator().manual_seed(seed)).numpy()
    # The inverse of the distribution function, at the same random numbers.
    sums = np.cumsum((np.abs(errors) + LEAST) ** alpha)
    share = torch.rand(64, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).numpy()
    above, below = (np.searchsorted(sums, share * sums[-1] * (1 + each)) for each in (1e-12, -1e-12))
    assert ((below <= drawn) & (drawn <= np.minimum(above, rows - 1))).all()


def test_with_beta_one_a_weighted_mean_is_proportional_to_the_plain_mean():
    errors = np.random.default_rng(0).normal(size=200)
    found = prioritised(errors, 0.7)
    chance = (np.abs(errors) + LEAST) ** 0.7
    weights = found.weights(np.arange(200), 1.0)
    np.testing.assert_allclose(weights * chance, (weights * chance)[0], rtol=1e-12)
    assert weights.max() == 1.0 and (found.weights(np.arange(200), 0.0) == 1).all()


def test_new_rows_have_the_largest_priority_so_far_and_rows_beyond_the_filled_are_never_drawn():
    found = Priorities(1000, 1.0)
    found.add(np.arange(3))
    found.update(np.array([0, 1, 2, 2]), np.array([0.0, 0.0, 9.0, 0.0]))
    found.update(np.array([0, 1]), np.array([np.nan, np.inf]))
    found.update(np.array([0, 1]), np.array([0.0, 0.0]))
    found.add(np.array([3]))
    drawn = found.draw(5000, 4, torch.Generator().manual_seed(0)).bincount(minlength=4)
    assert drawn[3] > 4990 and drawn.sum() == 5000 and len(drawn) == 4


def test_a_resumed_memory_draws_as_if_nothing_had_happened():
    found, other = prioritised(np.random.default_rng(0).normal(size=77), 0.5), Priorities(77, 0.5)
    other.load(found.state(77))
    assert same_states(found.state(77), other.state(77))
    for each in (found, other):
        each.add(np.array([5]))
    one, two = (each.draw(50, 77, torch.Generator().manual_seed(1)) for each in (found, other))
    assert torch.equal(one, two)


def test_nature_draws_by_the_errors_that_it_was_told():
    world = nature(Line, envs=2, batch=64, warmup=0, options=ReplayOptions(priority_alpha=1.0)).make(seed=0)
    for round in range(20):
        world.answer("step", (torch.rand(2, 1),), round)
    first = world.answer("replay", (), 20)[1]
    large = first[:, 0] > 0.5
    world.answer("prioritise", (torch.where(large, 10.0, 0.001),), 20)
    assert (world.answer("weight", (), 20)[0] <= 1).all()
    second = world.answer("replay", (), 21)[1][:, 0]
    told = torch.isin(second, first)
    assert (second[told] > 0.5).float().mean() > 0.95


@pytest.mark.parametrize("wrong", [{"priority_alpha": 1.5}, {"priority_alpha": -0.1}, {"priority_beta": 2.0}])
def test_exponents_out_of_range_are_refused(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ExperimentError) as refused:
        ReplayOptions(**wrong)
    assert "ReplayOptions" in str(refused.value) and name in str(refused.value) and str(value) in str(refused.value)


def test_a_prioritised_memory_that_is_larger_than_the_machine_is_refused_before_it_is_made():
    with pytest.raises(OracleError) as refused:
        nature(Line, capacity=10**12, options=ReplayOptions(priority_alpha=0.5)).make(seed=0)
    # A row has 7 numbers of float32, and 17 bytes of priorities.
    told = str(refused.value)
    assert "'Line'" in told and f"{(7 * 4 + 17) * 1e12 / 2**30:.1f} GiB" in told and "`capacity`" in told
