"""Returns over several steps are those of a loop over each copy's episodes."""

import numpy as np
import pytest
import torch

from antiphon.envs.gymnasium import nature
from antiphon.envs.n_step import NStep
from antiphon.envs.replay import Replay
from antiphon.envs.replay_options import ReplayOptions
from antiphon.errors import OracleError
from rigs.environments import Line

GAMMA = 0.8


def by_hand(transitions, start, steps):
    """The sum of up to `steps` rewards from one transition of a copy on, its last step, and the last one's discount."""
    total, count, last = 0.0, 0, transitions[start]
    for each in transitions[start : start + steps]:
        total, count = total + GAMMA**count * each["reward"], count + 1
        last = each
        if each["ended"]:
            break
    return total, last["name"], last["terminated"], GAMMA ** (count - 1)


@pytest.mark.parametrize(("envs", "capacity", "stored"), [(1, 50, 20), (3, 60, 12), (3, 20, 30), (2, 7, 9)])
@pytest.mark.parametrize("steps", [2, 5])
def test_each_drawn_return_is_that_of_a_loop(envs, capacity, stored, steps):
    draw = np.random.default_rng(stored)
    replay = Replay(capacity, 1, 1, torch.float64, n_step=NStep(steps, envs, GAMMA))
    copies = [[] for _ in range(envs)]
    for time in range(stored):
        rows = []
        for copy in range(envs):
            ended = bool(draw.random() < 0.3)
            row = {"name": 100 * copy + time, "reward": draw.normal(), "ended": ended}
            rows.append(row | {"terminated": float(ended and draw.random() < 0.5)})
            copies[copy].append(rows[-1])
        names, rewards, terminated, ended = (
            torch.tensor([row[key] for row in rows], dtype=torch.float64)
            for key in ("name", "reward", "terminated", "ended")
        )
        replay.store(names[:, None], names[:, None], rewards, names[:, None], terminated, ended)
    drawn = replay.sample(500, torch.Generator().manual_seed(0))
    seen = set()
    for state, _, total, after, over, discount in zip(*drawn, replay.discount, strict=True):
        copy, time = divmod(int(state), 100)
        seen.add((copy, time))
        expected = by_hand(copies[copy], time, steps)
        assert (total.item(), after.item(), over.item(), discount.item()) == pytest.approx(expected)
    assert len(seen) == min(capacity, envs * stored)


def test_an_episode_that_could_not_be_repeated_ends_where_it_was_saved():
    replay = Replay(20, 1, 1, torch.float64, n_step=NStep(9, 2, 1.0))
    one, zero = torch.ones(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for time in range(6):
        if time == 3:
            replay.end_episodes(np.array([True, False]))
        place = torch.tensor([[time], [10 + time]], dtype=torch.float64)
        replay.store(place, place, one, place, zero, zero)
    state, _, total, *_ = replay.sample(200, torch.Generator().manual_seed(0))
    found = {(int(name), int(count)) for name, count in zip(state, total, strict=True)}
    assert found == {(0, 3), (1, 2), (2, 1), (3, 3), (4, 2), (5, 1), *((10 + time, 6 - time) for time in range(6))}


def test_more_steps_than_the_memory_holds_are_refused():
    with pytest.raises(OracleError) as refused:
        nature(Line, envs=4, capacity=11, options=ReplayOptions(n_step=3))
    told = str(refused.value)
    assert "'Line'" in told and "capacity is 11" in told and "at least 12" in told and "`n_step` 3" in told
