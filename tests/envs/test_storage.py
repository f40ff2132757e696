"""What the memory stores in fewer bytes is what it returns: integers exactly, others rounded once."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete

from antiphon.envs.environment import read_spaces
from antiphon.envs.gymnasium import nature
from antiphon.envs.replay_options import ReplayOptions
from antiphon.errors import GrammarError, OracleError
from antiphon.grammars.library import Encoder
from rigs.environments import LinearQuadratic, Tiles


def drawn(id, width, storage, steps=20):
    world = nature(id, envs=2, batch=50, warmup=0, options=ReplayOptions(storage=storage)).make(seed=0)
    for round in range(steps):
        draw = torch.rand(2, width, generator=torch.Generator().manual_seed(round))
        world.answer("step", (2 * draw - 1,), round)
    return world.answer("replay", (), steps), world.state()["replay"]["columns"]


def test_pictures_are_stored_as_bytes_without_loss():
    (plain, _), (stored, columns) = (drawn(Tiles, 6, storage) for storage in ("float32", "uint8"))
    assert all(map(torch.equal, plain, stored)) and {each.dtype for each in stored} == {torch.float32}
    assert [each.dtype for each in columns][::3] == [torch.uint8] * 2
    assert stored[0].max() > 50


def test_halves_are_rounded_once():
    (plain, _), (stored, _) = (drawn(LinearQuadratic, 1, storage) for storage in ("float32", "float16"))
    for place, (mine, theirs) in enumerate(zip(stored, plain, strict=True)):
        assert torch.equal(mine, theirs.half().float() if place in (0, 3) else theirs)


class Mixed(gymnasium.Env):
    """Observes a picture, two numbers and one of three things; the number is as large as one says."""

    def __init__(self, size=1.0):
        spaces = {"eye": Box(0, 255, (8, 6, 3), np.uint8), "joint": Box(-np.inf, np.inf, (2,)), "mode": Discrete(3)}
        self.observation_space, self.action_space, self.size = Dict(spaces), Box(-1, 1, (1,)), size

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        eye = self.np_random.integers(0, 256, (8, 6, 3)).astype(np.uint8)
        return {"eye": eye, "joint": np.full(2, self.size, dtype=np.float32), "mode": np.int64(1)}, {}

    def step(self, action):
        return self.reset()[0], 0.0, False, False, {}


def test_numbers_that_the_storage_cannot_hold_are_refused():
    with pytest.raises(OracleError, match=r"'Mixed'.*uint8.*no integers from 0 to 255.*float16"):
        nature(Mixed, options=ReplayOptions(storage="uint8"))
    world = nature(Mixed, envs=1, keywords={"size": 1e5}, options=ReplayOptions(storage="float16")).make(seed=0)
    with pytest.raises(OracleError, match=r"'Mixed' observed 100000.*65504.*float32"):
        world.answer("step", (torch.zeros(1, 1),), 0)


def test_an_encoder_reads_each_part_of_an_observation_where_it_is():
    spaces = read_spaces(Mixed)
    encoder = Encoder(spaces.parts, (4, 5), features=7)
    observed = nature(Mixed, envs=5, batch=1).make(seed=0).answer("observe", (), 0)[0]
    found = encoder(observed)
    assert found.shape == (5, encoder.outputs) == (5, 7 + 2 + 3)
    assert torch.equal(found[:, 7:], torch.tensor([1.0, 1, 0, 1, 0]).expand(5, 5))
    eye = observed[:, : 8 * 6 * 3].reshape(5, 8, 6, 3).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(found[:, :7], encoder.pictures[0](eye))
    assert len(set(found[:, 0].tolist())) == 5


def test_an_encoder_without_a_picture_is_refused():
    with pytest.raises(GrammarError, match=r"Encoder was given parts of the shapes \[\(2,\), \(3,\)\].*picture"):
        Encoder([(2,), (3,)])
