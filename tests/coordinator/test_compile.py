"""compile_schedule: queries, responses, moves; a transfer right before its value is needed."""

import pytest

from antiphon.coordinator.plan.compile import compile_schedule
from antiphon.coordinator.plan.placement import Placement, spread, together
from antiphon.coordinator.plan.steps import Move, Query, Respond, Transfer
from antiphon.coordinator.plan.verify import verify
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.objective import minimise
from antiphon.grammars.random_grammars import TanhLayer, mean_gap, sample_grammar, samples
from antiphon.transport.message import Phase


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(4, (3,), (3,)))()
    a, b = q.player("A", TanhLayer, 3, 3), q.player("B", TanhLayer, 3, 3)
    q.clone("A~", a, soft=0.5, cadence=Cadence(2))(x)
    objective = minimise(q.loss("Loss", mean_gap)(b(a(x)), y))
    return Grammar("two", q.graph(), chain_rule(q, objective), objective)


def test_the_schedule_of_two_players(grammar):
    schedule = compile_schedule(grammar, spread(grammar, agents={"B": "far"}), {"A": Cadence(3, 1)})
    assert repr(schedule) == (
        "   0  query    Nature: Nature.sample\n"
        "   1  query    Nature -> A: Q[Nature.sample]\n"
        "   2  query    A: A~\n"
        "   3  query    A: A\n"
        "   4  query    A -> B: Q[A]\n"
        "   5  query    B: B\n"
        "   6  query    B -> Loss: Q[B]\n"
        "   7  query    Nature -> Loss: Q[Nature.sample.1]\n"
        "   8  query    Loss: Loss\n"
        "   9  response Loss: d Loss\n"
        "  10  response Loss: Loss *\n"
        "  11  response Loss -> B: R[Loss *]\n"
        "  12  response B: B *\n"
        "  13  response B -> A: R[B *]\n"
        "  14  response A: A *   [every 3 rounds from 1]\n"
        "  15  response A: deliver A   [every 3 rounds from 1]\n"
        "  16  response B -> far: R[B *.parameters]\n"
        "  17  response far: deliver B\n"
        "  18  move     A: A moves   [every 3 rounds from 1]\n"
        "  19  move     far: B moves\n"
        "  20  move     far -> B: move[B.parameters]\n"
        "  21  move     B: B takes up its parameters\n"
        "  22  move     A: A~ follows   [every 2 rounds]"
    )


def test_an_edge_knows_its_type_and_order(grammar):
    edges = compile_schedule(grammar, spread(grammar, agents={"B": "far"})).edges
    told = {edge.name: (edge.order, edge.shape, edge.phase) for edge in edges.values()}
    assert told["Q[A] -> B"] == ("zeroth", (4, 3), Phase.QUERY)
    assert told["R[B *] -> A"] == ("first", (4, 3), Phase.RESPONSE)
    assert told["R[B *.parameters] -> far"] == ("first", (12,), Phase.RESPONSE)
    assert told["move[B.parameters] -> B"] == ("zeroth", (12,), Phase.MOVE)


def test_nothing_travels_on_one_worker(grammar):
    assert compile_schedule(grammar, together(grammar)).edges == {}


def test_a_response_that_nobody_needs_in_a_round_rests(grammar):
    schedule = compile_schedule(grammar, together(grammar), {"A": Cadence(2), "B": Cadence(3)})
    whens = {step.node: repr(step.when) for step in schedule.steps if isinstance(step, Respond)}
    assert whens["A *"] == "every 2 rounds"
    assert whens["B *"] == whens["Loss *"] == "every 2 rounds or every 3 rounds"


@pytest.mark.parametrize("seed", range(20))
def test_every_node_is_played_once_and_every_value_travels_once(seed):
    grammar = sample_grammar(seed)
    schedule = compile_schedule(grammar, spread(grammar))
    verify(schedule)
    assert [step.node for step in schedule.steps if isinstance(step, Query)] == list(grammar.query.by_name)
    assert [step.node for step in schedule.steps if isinstance(step, Respond)] == list(grammar.response.by_name)
    assert {step.player for step in schedule.steps if isinstance(step, Move)} == set(grammar.query.player_by_name)
    transfers = [(step.slot, step.edge.target) for step in schedule.steps if isinstance(step, Transfer)]
    assert len(set(transfers)) == len(transfers)
    assert compile_schedule(grammar, spread(grammar)) == schedule


def test_placing_together_what_talks_saves_its_messages(grammar):
    apart = compile_schedule(grammar, spread(grammar))
    fused = compile_schedule(grammar, spread(grammar, fuse=[("A", "B")]))
    gone = {edge.name for edge in apart.edges.values()} - {edge.name for edge in fused.edges.values()}
    assert gone == {"Q[A] -> B", "R[B *] -> A", "Q[B] -> Loss", "R[Loss *] -> B"} - {
        edge.name for edge in fused.edges.values()
    }
    assert len(fused.edges) == len(apart.edges) - 2


def test_workers_without_work_are_allowed(grammar):
    placement = Placement((*together(grammar).workers, ("idle", ())))
    assert compile_schedule(grammar, placement).workers == ("inline", "idle")
