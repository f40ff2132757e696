"""Nature remembers what happened: the true next observations, the actions that were taken, episodes apart."""

import functools
import itertools
import re
from contextlib import closing
from itertools import chain
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
import torch

from antiphon.envs.gymnasium import nature
from antiphon.envs.replay_options import ReplayOptions
from antiphon.envs.spaces import ActionMap
from antiphon.errors import OracleError
from antiphon.grammars.states import same_states
from antiphon.grammars.types import Batch, EdgeType
from antiphon.testing import check_oracle
from rigs.environments import Line, LinearQuadratic, Misbehaving, Nested, Tiles

small = functools.partial(nature, envs=3, batch=5, capacity=40, warmup=6)


def act(oracle, actions):
    """Step once per row of (steps, envs, width) actions."""
    return [oracle.answer("step", (action,), round) for round, action in enumerate(actions)]


def remembered(oracle):
    return [column.numpy() for column in oracle.state()["replay"]["columns"]]


def actions_of(steps, envs, width, seed=0):
    return 2 * torch.rand(steps, envs, width, generator=torch.Generator().manual_seed(seed)) - 1


class Witness(gymnasium.Wrapper):
    """Writes down what its environment did, in environment units."""

    log: ClassVar[list[tuple[Any, ...]]] = []

    def __init__(self, id, **keywords):
        super().__init__(gymnasium.make(id, **keywords))
        self.before = np.zeros(0)

    def reset(self, *, seed=None, options=None):
        self.before, info = self.env.reset(seed=seed, options=options)
        return self.before, info

    def step(self, action):
        after, reward, terminated, truncated, info = self.env.step(action)
        self.log.append((self.before, action, reward, after, float(terminated)))
        self.before = after
        return after, reward, terminated, truncated, info


@pytest.mark.parametrize("id", ["Pendulum-v1", "MountainCarContinuous-v0", Line, LinearQuadratic, Tiles, Nested])
def test_every_environment_conforms(id):
    check_oracle(small(id))


@pytest.mark.parametrize("overlap", [False, True])
def test_asynchronous_environments_conform(overlap):
    check_oracle(small(Line, vectorization="async", overlap=overlap))


def test_a_nature_with_all_options_conforms():
    check_oracle(small(Line, options=ALL))


@pytest.mark.parametrize("id", ["HalfCheetah-v5"])
def test_mujoco_conforms(id, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # it writes a log where it is
    pytest.importorskip("mujoco")
    check_oracle(small(id))


def test_the_declaration_types_the_questions():
    declaration = nature(Tiles, envs=3, batch=5, symbol="b", envs_symbol="e")
    e, b = Batch("e"), Batch("b")
    observe, step, replay = declaration.questions
    assert dict(declaration.sizes) == {"e": 3, "b": 5}
    assert observe.outputs == (EdgeType((e, 16)),)
    assert step.inputs == (EdgeType((e, 6)),)
    assert step.outputs == (EdgeType((e,)), EdgeType((e,)))
    wide, narrow = EdgeType((b, 16)), EdgeType((b,))
    assert replay.outputs == (wide, EdgeType((b, 6)), narrow, wide, narrow)
    assert declaration == nature(Tiles, envs=3, batch=5, symbol="b", envs_symbol="e")


@pytest.mark.parametrize("id", ["Pendulum-v1", "MountainCarContinuous-v0"])
def test_what_is_remembered_is_what_the_environment_did(id):
    declaration = nature(
        Witness, keywords={"id": id, "max_episode_steps": 7}, envs=3, batch=4, warmup=12, reward_scale=4.0
    )
    Witness.log = []
    oracle = declaration.make(seed=1)
    act(oracle, 1.5 * actions_of(20, 3, 1))
    before, action, reward, after, terminated = (
        np.stack([np.asarray(value, dtype=np.float32) for value in column]) for column in zip(*Witness.log, strict=True)
    )
    space = ActionMap(gymnasium.make(id).action_space, id)
    found = remembered(oracle)
    np.testing.assert_array_equal(found[0], before)
    np.testing.assert_allclose(space.to_box(found[1]), action.reshape(-1, 1))
    np.testing.assert_allclose(found[2], reward / 4)
    np.testing.assert_array_equal(found[3], after)
    np.testing.assert_array_equal(found[4], terminated)
    assert np.abs(found[1]).max() == 1.0


def plain_line(actions, goal, limit):
    """Transitions of one copy, by a loop over one environment."""
    environment, transitions = Line(goal, limit), []
    before, _ = environment.reset(seed=0)
    for action in actions:
        after, reward, terminated, truncated, _ = environment.step(2 * action)
        transitions.append((before, action, reward, after, float(terminated), float(terminated or truncated)))
        before = environment.reset()[0] if terminated or truncated else after
    return [
        np.stack([np.asarray(value, dtype=np.float32) for value in column]) for column in zip(*transitions, strict=True)
    ]


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize(("goal", "limit"), [(99.0, 3), (0.6, 99), (1.5, 3)])
def test_every_copy_equals_a_plain_loop(goal, limit, vectorization):
    envs, actions = 3, actions_of(12, 3, 1).abs()
    oracle = nature(
        Line, keywords={"goal": goal, "limit": limit}, envs=envs, batch=4, warmup=0, vectorization=vectorization
    ).make(seed=0)
    answers = act(oracle, actions)
    found, observed = remembered(oracle), oracle.answer("observe", (), 12)[0]
    oracle.close()
    for copy in range(envs):
        expected = plain_line(actions[:, copy].numpy(), goal, limit)
        for mine, truth in zip(found, expected, strict=False):
            np.testing.assert_allclose(mine[copy::envs], truth, rtol=1e-6)
        np.testing.assert_array_equal([answer[0][copy] for answer in answers], found[2][copy::envs])
        np.testing.assert_array_equal([answer[1][copy] for answer in answers], expected[5])
        assert expected[5].sum() >= 2
        assert observed[copy, 1].item() == (0 if expected[5][-1] else expected[3][-1, 1])


def test_truncation_is_not_termination():
    oracle = nature(Line, keywords={"goal": 99.0, "limit": 2}, envs=2, batch=4, warmup=0).make(seed=0)
    done = [answer[1].tolist() for answer in act(oracle, torch.zeros(4, 2, 1))]
    assert done == [[0, 0], [1, 1], [0, 0], [1, 1]]
    assert remembered(oracle)[4].tolist() == [0.0] * 8


def test_replay_draws_from_what_is_remembered_rows_together():
    oracle = nature(Line, envs=2, batch=64, capacity=10, warmup=0).make(seed=0)
    act(oracle, actions_of(8, 2, 1))
    rows = np.concatenate([column.reshape(10, -1) for column in remembered(oracle)], axis=1)
    drawn = np.concatenate([column.reshape(64, -1).numpy() for column in oracle.answer("replay", (), 8)], axis=1)
    found = {tuple(row) for row in drawn.tolist()}
    assert found == {tuple(row) for row in rows.tolist()}


@pytest.mark.parametrize("steps", range(3, 9))
def test_the_ring_keeps_the_latest(steps):
    oracle = nature(Line, envs=2, batch=4, capacity=5, warmup=0).make(seed=0)
    actions = actions_of(steps, 2, 1)
    act(oracle, actions)
    assert sorted(remembered(oracle)[1].reshape(-1)) == sorted(actions.reshape(-1)[-5:].tolist())


def test_the_warm_up_takes_random_actions_and_remembers_them():
    oracle = nature(Tiles, envs=2, batch=4, warmup=6).make(seed=0)
    act(oracle, torch.zeros(5, 2, 6))
    taken = remembered(oracle)[1]
    assert np.abs(taken[:6]).min() > 0
    assert np.abs(taken).max() <= 1
    assert not taken[6:].any()
    assert len(np.unique(taken[:6])) == 36


def test_actions_of_any_shape_arrive_in_order():
    oracle = nature(Tiles, envs=1, batch=1, warmup=0).make(seed=0)
    units = torch.tensor([[-1.0, 0.0, 1.0, 0.25, 0.5, 9.0]])
    act(oracle, units[None])
    shown = oracle.answer("observe", (), 1)[0][0, :6]
    assert shown.tolist() == [0, 50, 100, 50, 100, 200]
    assert remembered(oracle)[1].tolist() == [[-1.0, 0.0, 1.0, 0.25, 0.5, 1.0]]


def test_an_unbounded_box_is_left_unscaled():
    oracle = nature(LinearQuadratic, envs=1, batch=1, warmup=0).make(seed=0)
    before = oracle.answer("observe", (), 0)[0].double()
    act(oracle, torch.tensor([[[7.0]]]))
    plain = LinearQuadratic()
    expected = before[0].numpy() @ plain.dynamics.T + plain.control @ np.array([7.0])
    np.testing.assert_allclose(oracle.answer("observe", (), 1)[0][0].numpy(), expected, rtol=1e-5)


def test_nested_observations_are_flat():
    oracle = nature(Nested, envs=1, batch=1, warmup=0).make(seed=0)
    act(oracle, torch.zeros(2, 1, 1))
    assert oracle.answer("observe", (), 2)[0].tolist() == [[2, 1, 2, 0, 1, 0]]


def test_the_report_counts_all_episodes_and_tells_how_many_and_how_old_the_averaged_returns_are():
    declaration = nature(Line, keywords={"limit": 2, "goal": 99.0}, envs=2, batch=1, warmup=0, reward_scale=10.0)
    oracle = declaration.make(seed=0)
    assert oracle.report() == {"episodes": 0, "env_steps": 0, "replay_size": 0}
    act(oracle, torch.full((3, 2, 1), 0.5))
    # From 0: rewards 1 - 1 and 2 - 1, in both copies. They ended with the fourth of six steps.
    means = {"episode_return": 1.0, "episode_length": 2.0, "averaged_episodes": 2, "return_age": 2}
    assert oracle.report() == oracle.report() == {"episodes": 2, **means, "env_steps": 6, "replay_size": 6}
    act(oracle, torch.zeros(122, 2, 1))  # episode k starts at k / 4 modulo 1, and its reward is this minus 1, twice
    returns = [1.0, 2 * (1.25 - 1), *(2 * (index % 4 / 4 - 1) for index in range(2, 62))]
    report = oracle.report()
    assert (report["episodes"], report["averaged_episodes"], report["return_age"]) == (124, 100, 2)
    assert report["episode_return"] == pytest.approx(np.mean(returns[-50:]))


@pytest.mark.parametrize("how", [{}, {"overlap": True, "vectorization": "async"}], ids=str)
def test_staggered_copies_end_their_episodes_apart_and_no_cut_episode_is_counted(how):
    envs = limit = 4
    declaration = nature(Line, keywords={"goal": 99.0, "limit": limit}, envs=envs, batch=4, stagger=limit, **how)
    with closing(declaration.make(seed=0)) as oracle:
        done = torch.stack([answer[1] for answer in act(oracle, torch.zeros(13, envs, 1))])
        done = done[1:] if how else done[:-1]  # with overlap, a step is told by the next one
        assert done.tolist() == [[float(step % limit == copy) for copy in range(envs)] for step in range(1, 13)]
        oracle.answer("observe", (), 13)
        assert not remembered(oracle)[4].any()  # a cut episode goes on for those who learn
        report = oracle.report()
    assert (report["episodes"], report["episode_length"]) == (3 + 3 + 2 + 2, limit)


def test_other_seeds_begin_elsewhere():
    declaration = small("Pendulum-v1")
    first, second = (declaration.make(seed).answer("observe", (), 0)[0] for seed in (0, 1))
    assert len({tuple(row) for row in torch.cat([first, second]).tolist()}) == 6


def all_answers(oracle, first, steps, width, further):
    """All answers of some rounds. Every third round makes no step. further: whether the memory is prioritised."""
    for round in range(first, first + steps):
        yield oracle.answer("observe", (), round) if round % 3 else ()
        yield oracle.answer("step", (actions_of(1, 3, width, seed=round)[0],), round) if round % 3 else ()
        drawn = oracle.answer("replay", (), round)
        yield drawn
        if further:
            yield *oracle.answer("discount", (), round), *oracle.answer("weight", (), round)
            oracle.answer("prioritise", (drawn[1][:, 0],), round)


ENVIRONMENTS = [(id, {}) for id in (Line, LinearQuadratic, Tiles, Nested)]
ENVIRONMENTS += [
    (id, {"max_episode_steps": 7})
    for id in ("Pendulum-v1", "MountainCarContinuous-v0", "InvertedPendulum-v5", "Hopper-v5", "HalfCheetah-v5")
]

ALL = ReplayOptions(True, True, n_step=3, storage="float16", priority_alpha=0.6)
HOWS = (
    {"stagger": 40},
    {"overlap": True},
    {"overlap": True, "vectorization": "async"},
    {"overlap": True, "options": ALL},
)


@pytest.mark.parametrize("id, keywords", ENVIRONMENTS)
@pytest.mark.parametrize("how", HOWS, ids=["stagger", "overlap", "overlap, async", "all options"])
def test_a_loaded_nature_goes_on_as_if_nothing_had_happened(id, keywords, how):
    declaration = small(id, keywords=keywords, **how)
    _, step, _, *further = declaration.questions
    width, played = step.inputs[0].shape[1], functools.partial(all_answers, further=bool(further))
    with closing(declaration.make(seed=0)) as whole, closing(declaration.make(seed=0)) as other:
        list(played(other, 1, 3, width))  # what it was before does not count
        for first in (1, 12, 23):
            list(played(whole, first, 11, width))
            other.load(whole.state())
            expected, found = (list(played(each, first + 11, 11, width)) for each in (whole, other))
            assert all(map(torch.equal, chain(*expected), chain(*found)))
            assert same_states(whole.state(), other.state()) and whole.report() == other.report()
            whole.load(other.state())


class Forgetful(gymnasium.Wrapper):
    """A world with a generator of its own, which no seed reaches."""

    draws = itertools.count(1)

    def __init__(self):
        super().__init__(gymnasium.make("Pendulum-v1"))

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=next(self.draws), options=options)


def test_an_episode_that_cannot_be_repeated_begins_anew_and_is_counted():
    declaration = nature(Forgetful, envs=2, batch=4, capacity=7, warmup=0)
    oracle, resumed = declaration.make(seed=0), declaration.make(seed=0)
    act(oracle, actions_of(5, 2, 1))
    assert "begun_anew" not in oracle.report()
    resumed.load(oracle.state())
    for mine, saved in zip(remembered(resumed), remembered(oracle), strict=True):
        np.testing.assert_array_equal(mine, saved)
    report = resumed.report()
    assert (report["env_steps"], report["begun_anew"]) == (10, 2)
    assert resumed.answer("replay", (), 5)[0].shape == (4, 3)


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_steps_that_overlap_are_the_same_steps_and_stored_at_the_next_observation(vectorization):
    exact = small(Line).make(seed=0)
    late = small(Line, overlap=True, vectorization=vectorization).make(seed=0)
    try:
        actions = actions_of(9, 3, 1)
        told, told_late = act(exact, actions), act(late, actions)
        assert all(map(torch.equal, told_late[1], told[0])) and late.report()["env_steps"] == 24
        assert [len(column) for column in remembered(late)] == [24] * 5
        assert torch.equal(late.answer("observe", (), 9)[0], exact.answer("observe", (), 9)[0])
        for one, other in zip(remembered(late), remembered(exact), strict=True):
            np.testing.assert_array_equal(one, other)
        act(late, actions[:1])  # under way when it is loaded
        late.load(exact.state())
        assert torch.equal(late.answer("observe", (), 10)[0], exact.answer("observe", (), 10)[0])
    finally:
        late.close()


def test_a_state_of_another_memory_is_refused():
    state = small(Line).make(seed=0).state()
    with pytest.raises(OracleError) as refused:
        small("Pendulum-v1").make(seed=0).load(state)
    assert str(refused.value) == (
        "replay of capacity 40: expected a state of shapes [(0, 3), (0, 1), (0,), (0, 3), (0,)]; "
        "[(0, 2), (0, 1), (0,), (0, 2), (0,)] arrived. "
        "Resume with the environment and the capacity that the run was started with."
    )


def test_an_environment_that_a_module_registers(tmp_path, monkeypatch):
    (tmp_path / "lines_of_others.py").write_text(
        "import gymnasium\n"
        "from rigs.environments import Line\n"
        "gymnasium.register('others/Line-v0', entry_point=Line, max_episode_steps=2)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    oracle = nature("lines_of_others:others/Line-v0", envs=2, batch=1, warmup=0).make(seed=0)
    assert [answer[1].tolist() for answer in act(oracle, torch.zeros(2, 2, 1))] == [[0, 0], [1, 1]]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: nature("Pendulun-v1"),
            "environment 'Pendulun-v1' cannot be made: expected an environment from these keywords: none; NameNotFound "
            "was raised: Environment `Pendulun` doesn't exist. Did you mean: `Pendulum`?. Check the spelling; write "
            "'module:id' for an environment that a module registers; install its package.",
        ),
        (
            lambda: nature(Misbehaving, keywords={"fault": "build"}),
            "environment 'Misbehaving' cannot be made: expected an environment from these keywords: fault='build'; "
            "ValueError was raised: no such map. Check its keywords, and that it can be made by itself.",
        ),
        (
            lambda: nature(Misbehaving, keywords={"fault": "reset"}),
            "environment 'Misbehaving' raised in reset: expected an observation; RuntimeError was raised: the door is "
            "shut. Repair the environment, or the actions that it is handed.",
        ),
        (
            lambda: nature("CartPole-v1"),
            "environment 'CartPole-v1' has the action space Discrete(2); expected a continuous Box, because players "
            "move in the units of its gradient. Choose an environment with continuous actions, or wrap this one so "
            "that it takes them.",
        ),
        (
            lambda: nature(dict),  # pyright: ignore[reportArgumentType]
            "environment 'dict' made a dict; expected a gymnasium.Env. Correct the factory.",
        ),
        (
            lambda: nature(Line, envs=8, capacity=7),
            "environment 'Line': capacity is 7; expected at least 8, a transition per copy. Raise it.",
        ),
    ],
)
def test_refusals(make, text):
    with pytest.raises(OracleError, match=f"^{re.escape(text)}$"):
        make()


def test_a_diverged_player_is_told_apart_from_its_environment():
    oracle = nature(Line, envs=2, batch=1, warmup=0).make(seed=0)
    with pytest.raises(OracleError, match=r"'Line' was handed an action in step 0 .* finite numbers"):
        act(oracle, torch.full((1, 2, 1), torch.nan))


def test_replay_before_the_first_step_is_refused():
    with pytest.raises(OracleError, match=r"'Line' was asked for a replay before its first step; .* Let acting come"):
        small(Line).make(seed=0).answer("replay", (), 0)
