"""Environments in processes of their own, on a Ray worker: the same numbers, and the dead are named."""

import pytest

from antiphon.agents import AgentSpecification
from antiphon.checks.suites import critic_derivative
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.deploy.executor import RayExecutor
from antiphon.envs import ReplayOptions, nature
from antiphon.envs.replay_options import PLAIN
from antiphon.errors import AntiphonError
from antiphon.grammars.factory import Factory
from antiphon.grammars.library import dac
from antiphon.grammars.library.networks import Policy, StateAction
from antiphon.grammars.states import same_states
from antiphon.oracles import gaussian
from rigs.environments import Misbehaving, Unusual

ADAM = AgentSpecification.of("Adam", {"lr": 1e-2})


def game(id, observation, vectorization, overlap=False, options=None, **keywords):
    how = {"vectorization": vectorization, "overlap": overlap, "keywords": keywords, "options": options or PLAIN}
    world = nature(id, envs=2, batch=4, capacity=8, warmup=0, **how)
    noise = gaussian((1,), batch=2, symbol="envs", scale=0.3)
    critic, deviator = (Factory.of(StateAction, observation, 1, 1, (4,)) for _ in range(2))
    return dac(world, noise, Factory.of(Policy, observation, 1, (4,)), critic, deviator, learn_from=1)


@pytest.mark.parametrize(
    ("habit", "vectorization", "overlap"),
    [("reused array", "sync", False), ("various infos", "async", False), ("reused array", "async", True)],
)
def test_habits_make_no_difference_on_ray_either(habit, vectorization, overlap, pool):
    plain = game(Unusual, 2, "sync", overlap, habit="plain")
    with InlineExecutor(assign(plain, ADAM)) as inline:
        expected = inline.play(9).losses
    other = game(Unusual, 2, vectorization, overlap, habit=habit)
    with RayExecutor(assign(other, ADAM, placement=spread(other)), "habits", pool=pool) as on_ray:
        assert on_ray.play(9).losses == expected


def test_all_options_of_nature_give_equal_numbers_on_ray(pool):
    options = ReplayOptions(True, True, n_step=2, storage="float16", priority_alpha=0.6)
    grammar = game(Unusual, 2, "sync", True, options, habit="plain")
    with InlineExecutor(assign(grammar, ADAM)) as inline:
        expected = inline.play(9).losses, inline.states()["Nature"]
    with RayExecutor(assign(grammar, ADAM, placement=spread(grammar)), "options", pool=pool) as on_ray:
        assert on_ray.play(9).losses == expected[0]
        assert same_states(on_ray.states()["Nature"], expected[1])


def test_twin_critics_with_a_delayed_actor_give_equal_numbers_on_ray(pool):
    grammar = critic_derivative.twins(0)
    with InlineExecutor(assign(grammar, ADAM)) as inline:
        expected = inline.play(9).losses
    with RayExecutor(assign(grammar, ADAM, placement=spread(grammar)), "twins", pool=pool) as on_ray:
        assert on_ray.play(9).losses == expected


@pytest.mark.slow
def test_who_died_is_named_with_its_worker(ray_is_up):
    grammar = game(Misbehaving, 3, "async", fault="die")
    with (
        RayExecutor(assign(grammar, ADAM, placement=spread(grammar)), "dies") as on_ray,
        pytest.raises(AntiphonError) as refused,
    ):
        on_ray.play(9)
    assert "environment 'Misbehaving': the process of copy 0 died (exit code 7)" in str(refused.value)
    assert (refused.value.worker, refused.value.round) == ("Nature", 2)
