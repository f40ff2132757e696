"""Nature's running statistics are those of Gymnasium's wrappers, and those of all observations and returns so far."""

import functools

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.wrappers import NormalizeObservation, NormalizeReward

from antiphon.envs.gymnasium import nature
from antiphon.envs.normalisation import ObservationScale
from antiphon.envs.replay_options import ReplayOptions
from rigs.environments import Line


def actions_of(steps, envs):
    return 2 * torch.rand(steps, envs, 1, generator=torch.Generator().manual_seed(0)) - 1


def test_one_copy_sees_what_gymnasiums_wrappers_show():
    world = nature("Pendulum-v1", envs=1, batch=1, warmup=0, options=ReplayOptions(True, True, gamma=0.9)).make(seed=0)
    begun = world.state()["history"]["beginnings"][0]
    plain = NormalizeReward(NormalizeObservation(gymnasium.make("Pendulum-v1")), gamma=0.9)
    shown, _ = plain.reset(seed=begun)
    for round, action in enumerate(actions_of(150, 1)):
        np.testing.assert_allclose(
            world.answer("observe", (), round)[0][0], np.clip(shown, -10, 10), rtol=1e-4, atol=1e-5
        )
        shown, reward, *_ = plain.step(2 * action[0].numpy())
        assert world.answer("step", (action,), round)[0].item() == pytest.approx(max(float(reward), -10.0), rel=1e-4)


def prior(values):
    """The statistics begin as if 1e-4 values with mean 0 and variance 1 had been counted."""
    weights = np.array([*np.ones(len(values)), 1e-4])
    mean = (weights[:-1] @ values) / weights.sum()
    return mean, (weights[:-1] @ (values - mean) ** 2 + 1e-4 * (1 + mean**2)) / weights.sum()


def test_transitions_are_scaled_by_the_statistics_of_all_copies_and_episodes_so_far():
    make = functools.partial(nature, Line, envs=3, batch=50, capacity=40, warmup=0, reward_scale=2.0)
    scaled, raw = make(options=ReplayOptions(True, True, gamma=0.7)).make(seed=0), make().make(seed=0)
    observed, returns, current = [raw.answer("observe", (), 0)[0].numpy()], [], np.zeros(3)
    for round, action in enumerate(actions_of(30, 3)):
        reward, done = (each.numpy() for each in raw.answer("step", (action,), round))
        scaled.answer("step", (action,), round)
        observed.append(raw.answer("observe", (), round)[0].numpy())
        current = 0.7 * current + reward
        returns.append(current.copy())
        current[done == 1] = 0
    mean, variance = prior(np.concatenate(observed).astype(np.float64))
    _, spread = prior(np.concatenate(returns)[:, None])
    told, plain = (world.answer("replay", (), 30) for world in (scaled, raw))
    for place in (0, 3):
        expected = (plain[place].numpy() - mean) / np.sqrt(variance + 1e-8)
        np.testing.assert_allclose(told[place].numpy(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(told[2].numpy(), plain[2].numpy() / np.sqrt(spread + 1e-8), rtol=1e-4)
    assert all(torch.equal(told[place], plain[place]) for place in (1, 4))
    assert scaled.report() == raw.report()


def test_far_observations_are_clipped():
    scale = ObservationScale(1)
    scale.update(np.array([[-1.0], [1.0]]))
    assert scale(torch.tensor([[1e6], [-1e6], [0.5]])).tolist() == [[10.0], [-10.0], [pytest.approx(0.5, abs=1e-4)]]
