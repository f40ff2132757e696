"""Replicas on Ray: an all-reduce between them, equal bits after a thousand rounds, near one player."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from antiphon.agents import AgentSpecification
from antiphon.coordinator.assignment import assign
from antiphon.coordinator.connection import Transport
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.placement import Placement, spread
from antiphon.coordinator.testing import convolutional, small_dac, specifications, wide
from antiphon.deploy.executor import RayExecutor
from antiphon.grammars import Grammar


def replicated(grammar: Grammar, **counts: int) -> Placement:
    return replace(spread(grammar), replicas=tuple(counts.items()))


def assert_near(states, expected, tolerance: float) -> None:
    for name, state in expected.items():
        for key, value in state.get("parameters", {}).items():
            assert torch.allclose(states[name]["parameters"][key], value, rtol=tolerance, atol=tolerance), (name, key)


@pytest.mark.slow
def test_after_a_thousand_rounds_all_replicas_hold_equal_bits_and_are_near_one_player(pool) -> None:
    grammar, agent = wide(), AgentSpecification.of("SGD", {"lr": 0.01, "momentum": 0.9})
    placement = replicated(grammar, First=2, Second=3)
    with RayExecutor(assign(grammar, agent, placement=placement), "thousand", pool=pool) as on_ray:
        first, states = on_ray.play(50), on_ray.states()
        digests = on_ray.play(950).digests
    assert sorted(digests) == ["First", "First#1", "Second", "Second#1", "Second#2"]
    assert len({digests[name]["First"] for name in ("First", "First#1")}) == 1
    assert len({digests[name]["Second"] for name in ("Second", "Second#1", "Second#2")}) == 1
    # In float32 two orders of summation drift apart for good after some hundred rounds: near one player is held early.
    with InlineExecutor(assign(grammar, agent)) as one:
        alone = one.play(50)
        assert_near(states, one.states(), 1e-5)
    assert first.losses["Loss"].values == pytest.approx(alone.losses["Loss"].values, rel=1e-5)


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize(
    ("make", "counts"),
    [(convolutional, {"Conv": 2, "Last": 2}), (small_dac, {"Critic": 2, "Actor": 3})],
)  # fmt: skip
def test_replicas_play_what_they_play_in_one_process(
    make: Callable[[], Grammar], counts: dict[str, int], transport: Transport, pool
) -> None:
    grammar = make()
    agents = specifications(grammar)
    assignment = assign(grammar, agents, placement=replicated(grammar, **counts), seed=5)
    with RayExecutor(assignment, f"{make.__name__}-replicas", transport=transport, pool=pool) as on_ray:
        played, states = on_ray.play(50), on_ray.states()
    with InlineExecutor(assignment) as inline:
        inline.play(50)
        assert_near(states, inline.states(), 1e-4)
    with InlineExecutor(assign(grammar, agents, seed=5)) as one:
        one.play(50)
        assert_near(states, one.states(), 1e-3)
    assert set(played.digests) == {
        name for each, k in counts.items() for name in [each, *(f"{each}#{index}" for index in range(1, k))]
    }


def test_three_replicas_of_a_worker_that_two_players_share(pool) -> None:
    grammar = wide()
    placement = replace(spread(grammar, fuse=[("First", "Second", "Last")]), replicas=(("First", 3),))
    with RayExecutor(assign(grammar, placement=placement), "shared", pool=pool) as on_ray:
        on_ray.play(20)
        states = on_ray.states()
    with InlineExecutor(assign(grammar)) as one:
        one.play(20)
        assert_near(states, one.states(), 1e-3)
