"""On Ray, too, what the channels carry is what the graphs and the schedule said."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from antiphon.agents.specification import AgentSpecification
from antiphon.analysis.timeline import recorded
from antiphon.coordinator.connection import Transport
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.traffic import measured, planned
from antiphon.deploy.executor import RayExecutor
from antiphon.grammars.cost import cost
from antiphon.grammars.types import Order
from antiphon.transport.codec import TAG_BYTES, encode
from antiphon.transport.message import Header, Session
from rigs.games import convolutional, with_dropout

pytestmark = pytest.mark.slow

SGD = AgentSpecification.of("SGD", {"lr": 0.1})


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize("make", [with_dropout, convolutional])
def test_what_travels_is_what_was_predicted(pool, make, transport):
    grammar = make()
    assignment = assign(grammar, SGD, placement=spread(grammar))
    with RayExecutor(
        assignment, f"traffic-{grammar.signature[:6]}-{transport}", transport=transport, pool=pool
    ) as play:
        play.play(3)
        played = play.play(4)
    rounds, schedule = range(3, 7), assignment.schedule
    found, predicted = measured(schedule, played), cost(grammar, rounds)
    assert [replace(each, overhead=None) for each in found] == list(planned(schedule, rounds))
    assert sum(each.messages for each in found) == predicted.messages()
    for order in Order:
        assert sum(each.payload for each in found if each.edge.order == order) == predicted.bytes(order)
    assert Counter(played.queries) == {"Nature.sample": 4}
    assert sum(played.products.values()) == sum(predicted.gradients.values())
    for each in found:
        assert each.overhead == 4 * around(each.edge, transport, schedule.signature)


def around(edge, transport: Transport, signature: str) -> int:
    """The bytes around one value: a tag, or what a frame has besides."""
    if transport is Transport.PROCESS_GROUP:
        return TAG_BYTES
    value = torch.zeros(edge.shape, dtype=edge.dtype)
    return len(encode(Header.of(Session(signature, 1, 1.0), edge, 3), value)) - edge.bytes


def test_a_recording_of_processes_of_one_machine_is_on_one_clock(pool):
    grammar = convolutional()
    assignment = assign(grammar, SGD, placement=spread(grammar), record=True)
    with RayExecutor(assignment, "recording", pool=pool) as play:
        play.play(3)
        recording = play.play(5).recording
    assert recording is not None and recording.one_clock
    table = recorded(assignment.schedule, recording)
    assert len(table.trips) == 5 * len(assignment.schedule.transfers)
    assert all(trip.departs < trip.arrives for trip in table.trips)  # causes before effects, across processes
