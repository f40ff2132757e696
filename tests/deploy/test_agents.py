"""An agent that leaves by `sys.exit` costs what its policy says, in one process, on Ray, and in an actor of its own."""

import pytest

from antiphon.agents import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import spread
from antiphon.deploy.executor import RayExecutor
from antiphon.errors import AgentError
from rigs.games import ExitsLater, with_dropout


def assignment(policy, apart) -> Assignment:
    grammar = with_dropout()
    agents = {"Second": AgentSpecification.of(agent=ExitsLater, on_failure=policy)}
    return assign(grammar, agents, placement=spread(grammar, agents=dict.fromkeys(apart, "far")))


@pytest.mark.parametrize("apart", [(), ("Second",)], ids=["beside", "apart"])
def test_a_move_is_left_out_in_one_process_and_on_ray_alike(apart, pool):
    with InlineExecutor(assignment("skip", apart)) as inline:
        expected = inline.play(5)
    with RayExecutor(assignment("skip", apart), "exits", pool=pool) as on_ray:
        played = on_ray.play(5)
    assert played.losses == expected.losses and played.skipped == expected.skipped
    assert played.skipped["Second"].moves == 1 and played.skipped["Second"].round == 2


def test_by_default_the_run_ends_and_the_agent_is_named(pool):
    for make in (InlineExecutor, lambda each: RayExecutor(each, "ends", pool=pool)):
        with make(assignment("fail", ())) as run, pytest.raises(AgentError) as caught:
            run.play(5)
        text = str(caught.value)
        assert "ExitsLater" in text and "player 'Second'" in text and "SystemExit in move in round 2: enough" in text
