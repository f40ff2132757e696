"""Kickback on Ray: the broadcast and the kicks travel, and the numbers are those of one process."""

import pytest
import torch

from antiphon.agents import AgentSpecification
from antiphon.coordinator.connection import Transport
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.deploy.executor import RayExecutor
from antiphon.envs import diabetes
from antiphon.grammars.library import kickback
from antiphon.grammars.library.kicking import Weights, kicking_layers

ROUNDS = 40


@pytest.mark.slow
@pytest.mark.parametrize("transport", list(Transport))
def test_a_run_is_bitwise_the_same_in_one_process_and_on_ray(transport, pool):
    grammar = kickback(diabetes(17), kicking_layers((10,), [7, 5, 3], signed=True, weights=Weights.COHERENT))
    agent = AgentSpecification.of("Adam", {"lr": 1e-2})
    with InlineExecutor(assign(grammar, agent, seed=5)) as inline:
        alone, expected = inline.play(ROUNDS), inline.states()
    assignment = assign(grammar, agent, placement=spread(grammar), seed=5)
    with RayExecutor(assignment, f"kickback-{transport}", transport=transport, pool=pool) as on_ray:
        played, states = on_ray.play(ROUNDS), on_ray.states()
    assert played.losses == alone.losses
    for player in grammar.query.players:
        for kind in ("parameters", "buffers"):
            for name, value in expected[player.name][kind].items():
                assert torch.equal(states[player.name][kind][name], value), (player.name, name)
