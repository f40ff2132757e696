"""Three counts of one conversation agree: on the graphs, in the schedule, by the channels."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.executor import Played
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import Placement, spread, together
from antiphon.coordinator.traffic import Flow, between, measured, measured_sums, planned, planned_sums
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.chain_rule import chain_rule, negate_into
from antiphon.grammars.cost import Graph, cost
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.objective import minimise
from antiphon.grammars.random_grammars import TanhLayer, mean_gap, sample_grammar, samples
from antiphon.grammars.types import Order
from antiphon.grammars.writing import ResponseDraft
from antiphon.transport.message import Phase
from rigs.games import convolutional, points, wide, with_dropout

SGD = AgentSpecification.of("SGD", {"lr": 0.1})


def sometimes() -> Grammar:
    """Two passes of other cadences; player A is asked in both, so its sum leaves out whichever rests."""
    q = QueryDraft()
    nature, other = q.oracle("Nature", samples(4, (3,), (3,))), q.oracle("Other", samples(4, (3,)))
    a, b = q.player("A", TanhLayer, 3, 3), q.player("B", TanhLayer, 3, 3)
    with q.query_pass("often", every=2, start=1):
        x, y = nature()
        first = q.loss("First", mean_gap)(b(a(x)), y)
    with q.query_pass("seldom", every=3):
        z = other()
        second = q.loss("Second", mean_gap)(a(z), z)
    objective = minimise(first, second)
    return Grammar("sometimes", q.graph(), chain_rule(q, objective, edit=negate_into("A")), objective)


def overheard() -> Grammar:
    """B and C, shaped like A, hear the sum of what A is told in two passes: it travels when either plays."""
    q = QueryDraft()
    nature, a = q.oracle("Nature", samples(4, (3,), (3,))), q.player("A", TanhLayer, 3, 3)
    b, c = q.player("B", TanhLayer, 3, 3), q.player("C", TanhLayer, 3, 3)
    losses = []
    for name, every in (("First", 2), ("Second", 3)):
        with q.query_pass(name, every=every):
            x, y = nature()
            losses.append(q.loss(f"{name} loss", mean_gap)(c(b(a(x))), y))
    r = ResponseDraft(q.graph())
    total = []
    for loss, own in zip(losses, ("A", "A#2"), strict=True):
        total.append(r.product(own, r.product(loss, r.seed(loss)).toward(0)).parameters)
    heard = r.sum(*total)
    for name in ("A", "B", "C"):
        r.deliver(name, heard)
    return Grammar("overheard", q.graph(), r.graph(), minimise(*losses))


def play(assignment: Assignment, first: int, rounds: int) -> Played:
    with InlineExecutor(assignment) as executor:
        if first:
            executor.play(first)
        return executor.play(rounds)


def hops(grammar: Grammar, rounds: range, moves: dict[str, Cadence] | None = None) -> Counter:
    found = cost(grammar, rounds, moves).hops
    return Counter((hop.graph, hop.source, hop.target, str(hop.order), hop.bytes, hop.rounds) for hop in found)


def carried(schedule, rounds: range) -> Counter:
    graphs = {Phase.QUERY: Graph.QUERY, Phase.RESPONSE: Graph.RESPONSE}
    return Counter(
        (graphs[t.edge.phase], t.edge.source, t.edge.target, t.edge.order, t.edge.bytes, t.messages)
        for t in planned(schedule, rounds)
    )


@pytest.mark.parametrize("seed", range(60))
def test_on_random_grammars_graph_and_schedule_count_the_same_messages(seed):
    grammar = sample_grammar(seed)
    schedule = assign(grammar, placement=spread(grammar)).schedule
    assert hops(grammar, range(3)) == carried(schedule, range(3))


@pytest.mark.parametrize("make", [sometimes, overheard])
@pytest.mark.parametrize("moves", [{}, {"A": Cadence(2)}, {"A": Cadence(3, 2), "B": Cadence(5, 1)}])
def test_cadences_are_counted_alike(make, moves):
    grammar = make()
    agents = {name: replace(SGD, cadence=moves.get(name, Cadence())) for name in ("A", "B")}
    schedule = assign(grammar, agents, placement=spread(grammar)).schedule
    for rounds in (range(1), range(3, 17), range(1, 61)):
        assert hops(grammar, rounds, moves) == carried(schedule, rounds)


@pytest.mark.parametrize(
    "make", [with_dropout, convolutional, sometimes, *(lambda s=s: sample_grammar(s) for s in range(8))]
)
def test_what_is_played_is_what_was_planned(make):
    grammar = make()
    assignment = assign(grammar, SGD, placement=spread(grammar))
    played = play(assignment, 2, 5)
    plan, found = planned(assignment.schedule, range(2, 7)), measured(assignment.schedule, played)
    assert [replace(each, overhead=None) for each in found] == list(plan)
    assert {each.overhead for each in found} == {0}  # within a process a tag takes no bytes
    predicted = cost(grammar, range(2, 7))
    assert sum(each.messages for each in found) == predicted.messages()
    for order in Order:
        assert sum(each.payload for each in found if each.edge.order == order) == predicted.bytes(order)
    asked = Counter()
    for name, count in played.queries.items():
        asked[grammar.query.by_name[name].owner] += count
    assert asked == Counter(predicted.queries)
    assert sum(played.products.values()) == sum(predicted.gradients.values())


def test_bytes_are_those_of_the_values_that_left():
    """A channel's count follows the tensors, not the declaration: here a layer's output by hand."""
    grammar = convolutional()
    assignment = assign(grammar, SGD, placement=spread(grammar))
    found = {each.edge.name: each.payload for each in measured(assignment.schedule, play(assignment, 0, 3))}
    image, output = torch.empty(7, 1, 9, 8), torch.empty(7, 3)
    conv = nn.Conv2d(1, 5, 3)(image)
    assert found["Q[Nature.sample] -> Conv"] == 3 * image.nbytes
    assert found["Q[Conv] -> Last"] == 3 * conv.nbytes  # the pool lives with Last, so what comes to it is not pooled
    assert found["Q[Last] -> Loss"] == 3 * output.nbytes


def test_together_nothing_travels():
    assignment = assign(convolutional(), SGD, placement=together(convolutional()))
    assert planned(assignment.schedule, range(4)) == ()
    assert measured(assignment.schedule, play(assignment, 0, 4)) == ()


def test_an_agent_apart_is_told_its_gradient_and_tells_its_parameters():
    grammar = with_dropout()
    assignment = assign(grammar, SGD, placement=spread(grammar, agents={"Last": "desk"}))
    found = measured(assignment.schedule, play(assignment, 0, 2))
    flows = between(found)
    parameters = (17 * 3 + 3) * 4
    assert flows["Last", "desk"] == flows["desk", "Last"] == Flow(2, 2 * parameters)


def test_between_machines_only_what_crosses_counts():
    grammar = convolutional()
    workers = (("left", ("Nature", "Conv")), ("middle", ("Last",)), ("right", ("Loss",)))
    schedule = assign(grammar, SGD, placement=Placement(workers)).schedule
    traffic = planned(schedule, range(2))
    apart = between(traffic, {"left": "one", "middle": "one", "right": "two"})
    batch, classes = 7, 3
    output, labels = batch * classes * 4, batch * 8
    assert apart == {("one", "two"): Flow(4, 2 * (output + labels)), ("two", "one"): Flow(2, 2 * output)}
    assert between(traffic, dict.fromkeys(schedule.workers, "one")) == {}
    assert set(between(traffic)) == {
        ("left", "middle"),
        ("middle", "right"),
        ("left", "right"),
        ("right", "middle"),
        ("middle", "left"),
    }


def test_points_are_not_asked_twice():
    assert cost(convolutional(), range(5)).queries == {"Nature": 5}
    assert points(3).questions[0].name == "sample"


def test_what_replicas_contribute_is_what_the_schedule_says() -> None:
    grammar = wide()
    placement = replace(spread(grammar), replicas=(("First", 2), ("Last", 3)))
    assignment = assign(grammar, placement=placement)
    with InlineExecutor(assignment) as executor:
        found = measured_sums(assignment.schedule, executor.play(5))
    assert found == planned_sums(assignment.schedule, range(5))
    last, first = found  # in the order in which they are computed
    assert (first.terms, first.payload) == (10, 10 * 4 * 65792)
    assert (last.terms, last.payload) == (15, 15 * 4 * 2570)
    parts = planned_sums(assignment.schedule, range(5), ["Last"])
    assert [each.payload for each in parts] == [0, first.payload]
