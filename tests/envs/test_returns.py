"""Evaluation is a plain loop, one explicit reset per seed, only faster."""

import gymnasium
import pytest
import torch

from antiphon.envs.returns import MAX_STEPS, episode_returns, played_episodes
from antiphon.errors import OracleError
from rigs.environments import Line, Tiles

SEEDS = (3, 1, 4, 1, 5)


def swing(state):
    return torch.tanh(-state[:, 1:2] - state[:, 2:3])


def plain(id, policy, seed, scale):
    environment, total, done = gymnasium.make(id), 0.0, False
    state, _ = environment.reset(seed=seed)
    while not done:
        action = scale * policy(torch.from_numpy(state)[None])[0].numpy()
        state, reward, terminated, truncated, _ = environment.step(action)
        total, done = total + float(reward), terminated or truncated
    return total


def test_lockstep_equals_one_by_one():
    together = episode_returns("Pendulum-v1", swing, SEEDS)
    assert together == [episode_returns("Pendulum-v1", swing, [seed])[0] for seed in SEEDS]
    assert together[1] == together[3]
    assert together == pytest.approx([plain("Pendulum-v1", swing, seed, 2.0) for seed in SEEDS])


def test_episodes_end_apart_and_the_policy_sees_those_that_run():
    seen = []

    def policy(state):
        seen.append(len(state))
        return torch.where(state[:, :1] >= 0.5, 1.0, 0.25 * torch.arange(len(state))[:, None])

    # Units 0, 0.25, 0.5 are steps of 0, 0.5, 1: the goal of 1 is reached at once, in the second step, and never.
    returns = episode_returns(Line, policy, range(3), keywords={"goal": 1.0, "limit": 3})
    assert seen == [3, 2, 1]
    assert returns == [-3.0, 1.0, 0.0]


def push(state):
    return torch.ones(len(state), 6)


def test_an_episode_without_an_end_is_cut_and_counted():
    with pytest.warns(UserWarning, match=r"^environment 'Tiles': 2 of 2 episodes were cut after 2 steps"):
        assert episode_returns(Tiles, push, [0, 1], max_steps=2) == [18.0, 18.0]
    assert played_episodes(Tiles, push, [0], max_steps=3) == ([27.0], 1)


def test_without_a_bound_of_ones_own_it_is_cut_as_well():
    returns, cut = played_episodes(Tiles, push, [0])
    assert (returns, cut) == ([9.0 * MAX_STEPS], 1)


def test_no_seeds_no_returns():
    assert episode_returns(Line, swing, []) == []


@pytest.mark.parametrize(
    ("policy", "arrived"),
    [
        (lambda state: torch.zeros(2, 2), "shape (2, 2)"),
        (lambda state: state[:, :1] * torch.nan, "shape (2, 1)"),
        (lambda state: [0.0], "a list"),
    ],
)
def test_other_actions_are_refused(policy, arrived):
    with pytest.raises(OracleError) as refused:
        episode_returns(Line, policy, [0, 1])
    assert str(refused.value) == (
        f"environment 'Line': the policy answered {arrived}; expected finite actions of shape (2, 1). "
        "Evaluate with the player that was trained on this environment."
    )
