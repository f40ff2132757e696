"""Replicas on Ray: an all-reduce between them, equal bits after a thousand rounds, near one player."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import ray
import torch

from antiphon.agents import AgentSpecification
from antiphon.agents.shards import part
from antiphon.coordinator.checkpoint import load_states, read_manifest
from antiphon.coordinator.connection import Transport
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.figures import figures_of
from antiphon.coordinator.plan.placement import Placement, spread
from antiphon.deploy.executor import RayExecutor
from antiphon.envs import digits
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.library import gan
from antiphon.grammars.library.generative import DenseAnalysis, DenseSynthesis
from antiphon.oracles import gaussian
from rigs.games import convolutional, small_dac, specifications, wide


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


def sharded(grammar: Grammar, **counts: int) -> Placement:
    return replace(replicated(grammar, **counts), sharded=tuple(counts))


@pytest.mark.parametrize(
    "agent",
    [
        pytest.param(AgentSpecification.of("AdamW", {"lr": 1e-3}), marks=pytest.mark.slow),
        AgentSpecification.of("SGD", {"lr": 0.05, "momentum": 0.9}, clip_norm=0.1),
        pytest.param(
            AgentSpecification.of("SGD", {"lr": 0.5, "nesterov": True, "momentum": 0.5}, clip_value=1e-3),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["AdamW", "clip_norm", "clip_value"],
)
def test_a_player_in_parts_learns_as_the_whole(agent: AgentSpecification, pool, tmp_path) -> None:
    # No optimizer that moves by the sign of a gradient alone at first: those of zero gradients would be noise.
    grammar = wide()
    placement, figures = sharded(grammar, First=2, Second=3), figures_of(grammar, {})
    with InlineExecutor(assign(grammar, agent, figures=figures)) as one:
        alone = one.play(30)
        expected = one.states()
        one.play(10)
        later = one.states()
    assignment = assign(grammar, agent, placement=placement, figures=figures)
    with RayExecutor(assignment, f"parts-{agent.optimizer}", pool=pool) as on_ray:
        played = on_ray.play(30)
        assert_near(on_ray.states(learned=True), expected, 1e-3)
        on_ray.save(tmp_path)
    for player in ("First", "Second"):
        assert played.reports[player] == pytest.approx(alone.reports[player], rel=1e-3)
    assert played.losses["Loss"].values == pytest.approx(alone.losses["Loss"].values, rel=1e-3)
    assert not played.digests
    names = read_manifest(tmp_path).names
    with RayExecutor(assign(grammar, agent, placement=placement), f"parts-2-{agent.optimizer}", pool=pool) as again:
        again.load(load_states(tmp_path, names), 30)
        again.play(10)
        assert_near(again.states(), later, 1e-3)


def test_each_replica_of_a_player_in_parts_holds_its_part_alone(pool) -> None:
    def sizes(worker: Any) -> dict[str, int]:  # Any: reaches below the interface, into the actor
        players = worker._hosted.players.items()
        return {name: sum(part(each).numel() for each in player.parameters) for name, player in players}

    grammar = wide()
    with RayExecutor(assign(grammar, placement=sharded(grammar, First=2)), "halves", pool=pool) as on_ray:
        on_ray.play(2)
        held = {
            name: ray.get(on_ray.workers[name].__ray_call__.remote(sizes)) for name in ("First", "First#1", "Second")
        }
    whole = 256 * 256 + 256
    assert held["Second"] == {"Second": whole}
    assert held["First"] == held["First#1"] == {"First": whole // 2}


def test_a_player_in_parts_may_be_asked_twice_and_edited(pool) -> None:
    """GAN's Curator judges images and forgeries, and hears the sum; Forger hears minus what Curator would."""
    forger = Factory.of(DenseSynthesis, 5, (64,), [33], squashed=True)
    curator = Factory.of(DenseAnalysis, (64,), 1, [33], 0.2)
    grammar, agent = (
        gan(digits(16), gaussian((5,), batch=16), forger, curator),
        AgentSpecification.of("SGD", {"lr": 0.1}),
    )
    placement = sharded(grammar, Forger=2, Curator=2)
    with RayExecutor(assign(grammar, agent, placement=placement), "gan-parts", pool=pool) as on_ray:
        on_ray.play(20)
        states = on_ray.states()
    with InlineExecutor(assign(grammar, agent)) as one:
        one.play(20)
        assert_near(states, one.states(), 1e-4)
