"""verify: whatever makes a schedule no round is refused, with the step and the rule."""

from collections import Counter
from dataclasses import replace

import pytest

from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.compile import compile_schedule
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.plan.schedule import Schedule
from antiphon.coordinator.plan.steps import Follow, Install, Move, Query, Transfer, describe
from antiphon.coordinator.plan.verify import verify
from antiphon.errors import ProtocolError
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.objective import minimise
from antiphon.grammars.random_grammars import TanhLayer, mean_gap, samples
from antiphon.grammars.when import When
from rigs.games import gpipe, one_forward_one_backward, pipeline


def small() -> Grammar:
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(4, (3,), (3,)))()
    a = q.player("A", TanhLayer, 3, 3)
    q.clone("A~", a)(x)
    objective = minimise(q.loss("Loss", mean_gap)(a(x), y))
    return Grammar("small", q.graph(), chain_rule(q, objective), objective)


GRAMMAR = small()
GOOD = compile_schedule(GRAMMAR, spread(GRAMMAR, agents={"A": "far"}))


def where(kind: type, index: int = 0) -> int:
    return [position for position, step in enumerate(GOOD.steps) if isinstance(step, kind)][index]


def without(position: int) -> Schedule:
    return replace(GOOD, steps=GOOD.steps[:position] + GOOD.steps[position + 1 :])


def twice(position: int) -> Schedule:
    return replace(GOOD, steps=GOOD.steps[: position + 1] + GOOD.steps[position:])


def swapped(one: int, two: int) -> Schedule:
    steps = list(GOOD.steps)
    steps[one], steps[two] = steps[two], steps[one]
    return replace(GOOD, steps=tuple(steps))


def changed(position: int, **fields) -> Schedule:
    step = replace(GOOD.steps[position], **fields)
    return replace(GOOD, steps=(*GOOD.steps[:position], step, *GOOD.steps[position + 1 :]))


def rerouted(position: int, **fields) -> Schedule:
    return changed(position, edge=replace(transfer(position).edge, **fields))


def transfer(position: int) -> Transfer:
    step = GOOD.steps[position]
    assert isinstance(step, Transfer)
    return step


def test_what_the_compiler_makes_is_a_round():
    verify(GOOD)


@pytest.mark.parametrize("order", [gpipe, one_forward_one_backward])
def test_in_any_order_of_micro_batches_each_value_has_its_slot_and_its_edge(order):
    schedule = pipeline(order(3, 4))
    verify(schedule)
    assert Counter(step.microbatch for step in schedule.transfers.values()) == dict.fromkeys(range(4), 4)


def test_phases_do_not_go_back_within_a_micro_batch_and_moves_come_last(refusal):
    schedule = pipeline(one_forward_one_backward(1, 2))
    query, seed, respond, *others = schedule.steps
    for changed in ((seed, query, respond, *others), (*schedule.steps[-1:], *schedule.steps[:-1])):
        text = refusal(ProtocolError, lambda changed=changed: verify(replace(schedule, steps=changed)))
        assert f"«{describe(changed[1])}»" in text and f"behind «{describe(changed[0])}»" in text


def test_a_query_among_the_responses_is_refused(refusal):
    last = where(Query, 3)
    assert refusal(ProtocolError, lambda: verify(swapped(last, last + 1))) == (
        "step 7 of the schedule, «query    Loss: Loss», belongs to the query phase, but stands behind "
        "«response Loss: d Loss»; expected queries, then responses, then moves. Order the steps by phase."
    )


def test_a_move_behind_a_clone_that_follows_is_refused(refusal):
    text = "stands behind a clone that follows; expected every move before. Swap the two."
    move, install, follow = where(Move), where(Install), where(Follow)
    moved = refusal(
        ProtocolError, lambda: verify(replace(GOOD, steps=(*GOOD.steps[:move], GOOD.steps[follow], GOOD.steps[move])))
    )
    assert moved == f"step {move + 1} of the schedule, «move     far: A moves», {text}"
    assert refusal(ProtocolError, lambda: verify(swapped(install, follow))).endswith(text)


NEEDED = [
    "query    Nature: Nature.sample",
    "query    Nature -> A: Q[Nature.sample]",
    "query    A: A",
    "query    A -> Loss: Q[A]",
    "response Loss: Loss *",
    "response Loss -> A: R[Loss *]",
    "response A: A *",
    "response A -> far: R[A *.parameters]",
    "move     far: A moves",
    "move     far -> A: move[A.parameters]",
]


@pytest.mark.parametrize("line", NEEDED)
def test_a_value_that_is_not_there_is_refused(line, refusal):
    position = [describe(step) for step in GOOD.steps].index(line)
    text = refusal(ProtocolError, lambda: verify(without(position)))
    assert text.endswith(
        "does not hold by then; expected an earlier step that makes it there, or a transfer. "
        "Move the step behind it, or add the transfer."
    )


def test_a_value_used_before_it_is_made_is_refused(refusal):
    assert refusal(ProtocolError, lambda: verify(swapped(0, 1))) == (
        "step 0 of the schedule, «query    Nature -> A: Q[Nature.sample]», needs Q[Nature.sample], which worker "
        "'Nature' does not hold by then; expected an earlier step that makes it there, or a transfer. "
        "Move the step behind it, or add the transfer."
    )


def test_a_value_made_twice_is_refused(refusal):
    assert refusal(ProtocolError, lambda: verify(twice(3))) == (
        "step 4 of the schedule, «query    A: A», makes Q[A] again; expected each value to be made once in a round."
    )


def test_an_edge_used_twice_is_refused(refusal):
    text = "repeats an edge; expected each value to travel to a worker once. Remove one."
    assert refusal(ProtocolError, lambda: verify(twice(4))) == (
        f"step 5 of the schedule, «query    A -> Loss: Q[A]», {text}"
    )
    number = transfer(1).edge.number
    assert refusal(ProtocolError, lambda: verify(rerouted(4, number=number))).endswith(text)


def test_a_transfer_that_stays_is_refused(refusal):
    assert refusal(ProtocolError, lambda: verify(rerouted(1, target="Nature"))).endswith("Remove one.")
    step = transfer(1)
    stays = replace(step, edge=replace(step.edge, target="Nature"), slot=transfer(4).slot)
    assert refusal(ProtocolError, lambda: verify(replace(GOOD, steps=(GOOD.steps[0], stays)))) == (
        "step 1 of the schedule, «query    Nature -> Nature: Q[A]», stays on worker 'Nature'; "
        "expected two workers. Remove the transfer."
    )


def test_a_worker_that_does_not_exist_is_refused(refusal):
    expected = f"expected one of {list(GOOD.workers)}."
    assert refusal(ProtocolError, lambda: verify(changed(3, worker="Nobody"))) == (
        f"step 3 of the schedule, «query    Nobody: A», is for worker 'Nobody'; {expected}"
    )
    assert refusal(ProtocolError, lambda: verify(rerouted(1, target="Nobody"))).endswith(
        f"is for worker 'Nobody'; {expected}"
    )


def test_a_player_that_moves_twice_is_refused(refusal):
    position = where(Move)
    again = replace(GOOD.steps[position], writes=())
    steps = (*GOOD.steps[:position], again, again)
    assert refusal(ProtocolError, lambda: verify(replace(GOOD, steps=steps))) == (
        f"step {position + 1} of the schedule, «move     far: A moves», is a second move of 'A'; "
        "expected one move of each player, on each of its replicas."
    )


def test_a_transfer_at_other_rounds_than_its_value_is_refused(refusal):
    assert refusal(ProtocolError, lambda: verify(changed(4, when=When.at(Cadence(2))))) == (
        "step 4 of the schedule, «query    A -> Loss: Q[A]   [every 2 rounds]», is played every 2 rounds, but its "
        "value is made always; expected the same rounds on both sides. Give the transfer the condition of its value."
    )


def test_an_executor_verifies_before_it_plays(refusal):
    assignment = replace(assign(GRAMMAR), schedule=without(3))
    text = refusal(ProtocolError, lambda: InlineExecutor(assignment))
    assert "needs Q[A], which worker 'A' does not hold by then" in text
