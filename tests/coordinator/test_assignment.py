"""Assignment: pure data, the same after a journey."""

import pickle

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread, together
from antiphon.errors import PlacementError
from antiphon.grammars.cadence import Cadence
from rigs.games import with_dropout

GRAMMAR = with_dropout()
SGD = AgentSpecification.of("SGD", {"lr": 0.1})


def test_agents_are_completed_and_the_default_place_is_one_worker():
    assignment = assign(GRAMMAR, {"First": SGD})
    assert assignment.agents == {"First": SGD} | dict.fromkeys(["Second", "Norm", "Last"], AgentSpecification.of())
    assert assignment.placement == together(GRAMMAR)
    assert set(assign(GRAMMAR, SGD).agents.values()) == {SGD}


def test_cadences_of_agents_reach_the_schedule():
    slow = AgentSpecification.of("SGD", cadence=Cadence(3))
    (move,) = [line for line in repr(assign(GRAMMAR, {"First": slow}).schedule).splitlines() if "First moves" in line]
    assert move.endswith("inline: First moves   [every 3 rounds]")


def test_an_agent_of_nobody_is_refused(refusal):
    assert refusal(PlacementError, lambda: assign(GRAMMAR, {"Nature": SGD})) == (
        "an agent was given for 'Nature', which is no player of grammar 'backprop'; "
        "expected one of ['First', 'Second', 'Norm', 'Last']. Correct the name."
    )


def test_it_travels():
    assignment = assign(GRAMMAR, SGD, placement=spread(GRAMMAR), seed=3)
    assert pickle.loads(pickle.dumps(assignment)) == assignment
