"""`check_environment` passes what can be trained on, of many kinds, and names the law that others break."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.wrappers import FrameStackObservation, NormalizeObservation, NormalizeReward, TimeAwareObservation

from antiphon.envs.gymnasium import nature
from antiphon.errors import OracleError
from antiphon.testing import check_environment
from rigs.environments import HABITS, Line, LinearQuadratic, Misbehaving, Nested, Reach, Tiles, Unusual


def wrapped(wrapper, **keywords):
    return wrapper(gymnasium.make("Pendulum-v1"), **keywords)


@pytest.mark.parametrize(
    ("id", "keywords"),
    [
        *[("Pendulum-v1", {}), ("MountainCarContinuous-v0", {}), (Line, {})],
        *[(LinearQuadratic, {"noise": 0.1}), (Nested, {}), (Reach, {}), (Tiles, {})],
        (wrapped, {"wrapper": FrameStackObservation, "stack_size": 2}),
        (wrapped, {"wrapper": TimeAwareObservation}),
    ],
)
def test_many_kinds_conform(id, keywords):
    check_environment(id, keywords=keywords)


@pytest.mark.parametrize("id", ["Hopper-v5", "InvertedPendulum-v5"])
def test_mujoco_conforms(id, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # it writes a log where it is
    pytest.importorskip("mujoco")
    check_environment(id)


@pytest.mark.filterwarnings("ignore:.* observed .* where it declares:UserWarning")
def test_habits_conform():
    for habit in HABITS:
        check_environment(Unusual, keywords={"habit": habit})


class Remembers(gymnasium.Env):
    """Line, but for what it does with its past."""

    def __init__(self, what):
        self.observation_space, self.action_space = Box(-9, 9, (1,), np.float32), Box(-1, 1, (1,), np.float32)
        self.what, self.level = what, 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.array([self.level], dtype=np.float32), {}

    def step(self, action):
        self.level += 0.1 if self.what == "episodes" else float(np.random.rand()) if self.what == "luck" else 0.0
        return np.array([self.level], dtype=np.float32), 0.0, True, False, {}


def test_what_remembers_or_draws_elsewhere_is_named():
    check_environment(Remembers, keywords={"what": "nothing"})
    with pytest.raises(OracleError, match=r"'Remembers' remembers earlier episodes.* in step 0"):
        check_environment(Remembers, keywords={"what": "episodes"})
    with pytest.raises(OracleError, match="Nature"):
        check_environment(Remembers, keywords={"what": "luck"})


@pytest.mark.parametrize("fault", ["shape", "nan", "crash", "nan reset", "huge reward"])
def test_misbehaviour_is_named(fault):
    with pytest.raises(OracleError, match="'Misbehaving'"):
        check_environment(Misbehaving, keywords={"fault": fault})


@pytest.mark.parametrize("wrapper", [NormalizeObservation, NormalizeReward])
def test_running_statistics_are_refused_wherever_they_are(wrapper):
    for make in (lambda: wrapper(Line()), lambda: TimeAwareObservation(wrapper(gymnasium.make("Pendulum-v1")))):
        with pytest.raises(OracleError) as refused:
            nature(make)
        assert all(part in str(refused.value) for part in (wrapper.__name__, "checkpoint", "normalize_"))


class Picture(gymnasium.Env):
    """Observes nothing but pictures of a size."""

    def __init__(self, size):
        self.observation_space, self.action_space = Box(0, 255, size, np.uint8), Box(-1, 1, (1,), np.float32)
        self.size = size

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(self.size, dtype=np.uint8), {}

    def step(self, action):
        return self.reset()[0], 0.0, False, False, {}


def test_a_picture_that_is_flattened_is_warned_of_and_its_memory_estimated_before_it_is_taken():
    with pytest.warns(UserWarning, match=r"'Picture' observes a picture of shape \(84, 84, 3\).* 21168 numbers"):
        declaration = nature(Picture, keywords={"size": (84, 84, 3)}, capacity=10**8)
    with pytest.raises(OracleError) as refused:
        declaration.make(seed=0)
    told = str(refused.value)
    assert "'Picture'" in told and "15772.5 GiB" in told and "available" in told and "`capacity`" in told
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nature(Picture, keywords={"size": (5, 5, 3)}).make(seed=0).close()
