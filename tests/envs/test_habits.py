"""What an environment may do makes no difference; what it may not do is named, and nothing of it is remembered."""

import multiprocessing
import warnings

import gymnasium
import numpy as np
import pytest
import torch

from antiphon.envs.gymnasium import Nature, nature
from antiphon.envs.spaces import ActionMap
from antiphon.errors import OracleError
from rigs.environments import HABITS, Line, Misbehaving, Unusual


def act(oracle, actions):
    """Step once per row of (steps, envs, width) actions."""
    return [oracle.answer("step", (action,), round) for round, action in enumerate(actions)]


def remembered(oracle):
    return [column.numpy() for column in oracle.state()["replay"]["columns"]]


def actions_of(steps, envs, width):
    return 2 * torch.rand(steps, envs, width, generator=torch.Generator().manual_seed(0)) - 1


def record(id, steps=8, **options):
    """What is remembered of some steps, and what is observed after them."""
    oracle = nature(id, envs=2, batch=1, warmup=0, **options).make(seed=0)
    try:
        act(oracle, actions_of(steps, 2, 1))
        return [*remembered(oracle), oracle.answer("observe", (), steps)[0].numpy()]
    finally:
        oracle.close()


@pytest.mark.filterwarnings("ignore:.* observed .* where it declares:UserWarning")
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_habits_of_environments_make_no_difference(vectorization):
    plain = record(Unusual, keywords={"habit": "plain"}, vectorization=vectorization)
    habits = HABITS if vectorization == "sync" else ("reused array", "various infos", "tensor")
    for habit in habits:
        found = record(Unusual, keywords={"habit": habit}, vectorization=vectorization)
        for mine, truth in zip(found, plain, strict=True):
            np.testing.assert_array_equal(mine, truth, err_msg=habit)


def test_the_actions_that_are_remembered_are_the_players_own():
    oracle = nature(Unusual, keywords={"habit": "own action"}, envs=2, batch=1, warmup=0).make(seed=0)
    actions = actions_of(3, 2, 1)
    kept = actions.clone()
    act(oracle, actions)
    assert torch.equal(actions, kept)
    np.testing.assert_array_equal(remembered(oracle)[1].reshape(-1), kept.reshape(-1).numpy())


def test_a_conversion_is_warned_of_once():
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        record(Unusual, keywords={"habit": "float64"})
    (text,) = {str(each.message) for each in warned}
    assert len(warned) == 1 and text.startswith("environment 'Unusual' observed float64[2] in reset where it declares")


FAULTS = {
    "shape": ("in step 3", "float32[3]", "float32[4]"),
    "crash": ("in step 3", "an observation", "RuntimeError was raised: the motor is on fire"),
    "exit": ("in step 3", "an observation", "SystemExit was raised: 3"),
    "reward": ("in step 3", "a number", "a NoneType"),
    "flag": ("in step 3", "True or False", "a NoneType"),
    "old answer": ("in step 3", "terminated, truncated, info)", "a tuple of 4"),
    "nan": ("in step 3", "finite", "NaN"),
    "huge": ("in step 3", "finite", "float32 cannot hold"),
    "nan reward": ("in step 3", "finite", "nan"),
    "huge reward": ("step before 6", "finite", "1e+39"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_environment_that_misbehaves_is_named_and_nothing_of_it_is_remembered(fault):
    oracle = nature(Misbehaving, keywords={"fault": fault}, envs=2, batch=1, warmup=0).make(seed=0)
    with pytest.raises(OracleError) as refused:
        act(oracle, torch.zeros(3, 2, 1))
    told = str(refused.value)
    assert told.startswith("environment 'Misbehaving'") and all(part in told for part in FAULTS[fault]), told
    columns = remembered(oracle)
    assert len(columns[0]) == 4 and all(np.isfinite(column).all() for column in columns)


def test_a_first_observation_that_is_not_finite_is_refused_before_the_first_step():
    with pytest.raises(OracleError, match=r"^environment 'Misbehaving' observed NaN or infinity in reset"):
        nature(Misbehaving, keywords={"fault": "nan reset"})


def test_a_nature_that_cannot_begin_leaves_no_process_behind():
    sizes = {"envs": 2, "batch": 1, "capacity": 2, "warmup": 0, "reward_scale": 1.0, "deadline": 60.0, "overlap": False}
    with pytest.raises(OracleError, match="NaN or infinity in reset"):
        Nature(Misbehaving, **sizes, keywords={"fault": "nan reset"}, vectorization="async", seed=0)
    assert multiprocessing.active_children() == []


def test_a_reward_that_the_scale_brings_within_reach_is_none_too_large():
    oracle = nature(Misbehaving, keywords={"fault": "huge reward"}, envs=1, batch=1, warmup=0, reward_scale=1e3).make(0)
    act(oracle, torch.zeros(3, 1, 1))
    assert remembered(oracle)[2][2] == np.float32(1e36)


def test_an_action_that_the_box_cannot_hold_is_refused():
    units = ActionMap(gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float16), "environment 'X'")
    with pytest.raises(OracleError, match=r"^environment 'X' takes actions of float16, and 1e\+06 arrived"):
        units.to_box(np.array([[1e6]], dtype=np.float32))


def test_a_saved_memory_that_is_not_finite_is_refused():
    oracle = nature(Line, envs=2, batch=1, warmup=0).make(seed=0)
    act(oracle, torch.zeros(1, 2, 1))
    state = oracle.state()
    state["replay"]["columns"][2][1] = torch.inf
    with pytest.raises(OracleError, match="the saved replay holds NaN or infinity"):
        oracle.load(state)
