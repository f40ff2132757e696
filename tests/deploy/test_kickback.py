"""Kickback on Ray: the broadcast and the kicks travel, and the numbers are those of one process."""

import pytest

from antiphon.agents import AgentSpecification
from antiphon.coordinator.connection import Transport
from antiphon.envs import diabetes
from antiphon.grammars.library import kickback
from antiphon.grammars.library.kicking import Weights, kicking_layers
from rigs.equality import check_same_on_ray

ROUNDS = 40


@pytest.mark.slow
@pytest.mark.parametrize("transport", list(Transport))
def test_a_run_is_bitwise_the_same_in_one_process_and_on_ray(transport, pool):
    grammar = kickback(diabetes(17), kicking_layers((10,), [7, 5, 3], signed=True, weights=Weights.COHERENT))
    agent = AgentSpecification.of("Adam", {"lr": 1e-2})
    check_same_on_ray(grammar, agent, ROUNDS, f"kickback-{transport}", pool, transport=transport)
