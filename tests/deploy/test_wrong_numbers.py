"""NaN and infinity on Ray: the same value is named as in one process, and all workers skip the same round."""

import pytest
import torch

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.executor import Executor
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import spread
from antiphon.deploy.executor import RayExecutor
from antiphon.errors import AgentError, NonfiniteError
from antiphon.grammars import Grammar
from antiphon.grammars.states import same_states
from rigs.wrong_numbers import PLACES, Refusing, SpoiltMoves, grammar

ROUNDS = 5
SGD = AgentSpecification.of("SGD", {"lr": 0.1})

pytestmark = pytest.mark.slow


def settled(game: Grammar, policy: str) -> Assignment:
    return assign(game, SGD, placement=spread(game), on_nonfinite=policy)  # pyright: ignore[reportArgumentType]


def blamed(executor: Executor) -> tuple[int, int, str, str]:
    with executor, pytest.raises(NonfiniteError) as failure:
        executor.play(ROUNDS)
    return failure.value.round, failure.value.position, failure.value.worker, str(failure.value)


@pytest.mark.parametrize(
    ("place", "wrong"), [*((place, torch.nan) for place in PLACES), ("loss", torch.inf), ("gradient", -torch.inf)]
)
def test_the_same_value_is_named_as_in_one_process(place, wrong, pool):
    assignment = settled(grammar(place, wrong), "fail")
    expected = blamed(InlineExecutor(assignment))
    assert blamed(RayExecutor(assignment, f"wrong-{place}", pool=pool)) == expected


def test_a_worker_that_waits_is_asked_for_the_value_that_made_another_one_raise(pool):
    assignment = settled(grammar("data", middle=Refusing), "fail")
    expected = blamed(InlineExecutor(assignment))
    assert expected[2] == "Nature"
    assert blamed(RayExecutor(assignment, "refusing", pool=pool)) == expected


@pytest.mark.parametrize("policy", ["skip-round", "clip", "warn"])
@pytest.mark.parametrize("place", PLACES)
def test_the_other_policies_give_the_same_numbers_and_reports_as_in_one_process(place, policy, pool):
    found = []
    assignment = settled(grammar(place), policy)
    for executor in (InlineExecutor(assignment), RayExecutor(assignment, f"goes-on-{place}", pool=pool)):
        with executor:
            played = executor.play(ROUNDS)
            found.append((played.nonfinite, played.skipped, executor.states()))
    (ours, our_skipped, mine), (theirs, their_skipped, others) = found
    assert list(ours.items()) == list(theirs.items()) and ours
    assert our_skipped == their_skipped and bool(ours and our_skipped) == (policy == "skip-round")
    for player in ("First", "Middle", "Actor", "Last"):
        assert same_states(mine[player]["parameters"], others[player]["parameters"])


def test_a_remote_agent_whose_answer_is_nan_is_named(pool):
    game, agents = grammar(""), {"Middle": AgentSpecification.of(agent=SpoiltMoves)}
    assignment = assign(game, agents, placement=spread(game, agents={"Middle": "far"}))
    with (
        RayExecutor(assignment, "far", pool=pool) as executor,
        pytest.raises(AgentError, match="'Middle'") as e,
    ):
        executor.play(ROUNDS)
    assert e.value.worker == "far"
