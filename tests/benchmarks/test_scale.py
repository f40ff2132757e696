"""The cost model of benchmarks/scale: closed forms, growth, and that docs/scale.md is what it says of its constants."""

import doctest
import math
from dataclasses import replace

import pytest

from antiphon.coordinator.plan.schedule import Schedule
from antiphon.coordinator.plan.steps import Contribute
from antiphon.grammars.cost import cost
from benchmarks.scale import calibration, document, games, limits, model
from benchmarks.scale.model import NAMES, Constants, Round

TEXT = document.DOCUMENT.read_text()
CONSTANTS = document.read_constants(TEXT)
NOTHING = Constants(**{**dict.fromkeys(NAMES, 0.0), "bandwidth": math.inf, "cores": 1.0})
WORKERS = (4, 7, 12)
GROWING = {
    "chain": lambda workers: model.chain(workers, 1e3, 1e-3),
    "replicas": lambda workers: model.replicas(workers, 1e3, 1e6, 1e-3),
    "agents": lambda workers: model.agents(workers, 1e3, 2, 1, 1e-3),
}


def only(**constants: float) -> Constants:
    return replace(NOTHING, **constants)


def hub(schedule: Schedule) -> tuple[int, int]:
    """How many messages Nature and the loss send, and receive, together: nobody else talks to everybody."""
    hubs = {"Nature", "Loss"}
    sent = sum(edge.source in hubs for edge in schedule.edges.values())
    return sent, sum(edge.target in hubs and edge.source not in hubs for edge in schedule.edges.values())


def test_a_chain_is_as_many_hops_as_it_is_deep():
    assert model.path(only(hop=2.0), model.chain(5, 8.0)) == 2.0 * (2 * 3 + 1)
    assert model.path(only(latency=1.0), model.chain(5, 8.0)) == 7
    assert model.path(only(bandwidth=2.0), model.chain(5, 8.0)) == 7 * 8 / 2
    assert model.path(only(play=1.0), model.chain(5, 8.0, compute=10.0)) == 3 * 1 + 2 * 3 * 10


def test_a_ring_takes_two_steps_for_each_other_member_and_moves_its_bytes_almost_twice():
    alone = model.replicas(5, 0.0, 12.0)
    assert model.path(only(term=1.0), alone) == 2 * (3 - 1)
    assert model.path(only(bandwidth=1.0), alone) == 2 * (3 - 1) / 3 * 12
    assert model.work(only(term=1.0), alone) == 3 * 2 * (3 - 1)


def test_a_hub_handles_what_is_not_on_the_chain_one_at_a_time():
    assert model.path(only(post=1.0, message=1.0), model.agents(11, 0.0, down=2, up=0)) == 2 * 9
    assert model.path(only(post=1.0, message=4.0), model.agents(11, 0.0, down=0, up=1)) == 3 * 9


def test_on_few_cores_the_work_counts_and_on_many_the_path():
    r = model.agents(9, 0.0, compute=1.0)
    assert model.seconds(only(cores=2.0), replace(r, workers=2)) == 8 * 2 * 1.0 / 2
    assert model.seconds(only(cores=100.0), r) == 2 * 1.0


def test_the_rounds_of_a_call_share_the_coordinator():
    r = model.agents(11, 0.0, 2, 1)
    assert model.coordinator(only(call=1.0), r) == 11
    assert model.coordinator(only(audit=1.0), r) == 3 * 10
    assert model.coordinator(only(worker_statistics=1.0, bandwidth=2.0), r) == 3 * 10 / 2
    assert model.share(only(call=1.0), r, 1) == 1


@pytest.mark.parametrize("name", GROWING)
def test_more_workers_take_no_less(name):
    for measure in (model.path, model.work, model.seconds, model.prepare, model.resident):
        found = [measure(CONSTANTS, GROWING[name](workers)) for workers in (4, 10, 100, 1000, 10_000)]
        assert found == sorted(found), measure.__name__


@pytest.mark.parametrize("constant", [name for name in NAMES if name not in ("bandwidth", "cores", "post")])
def test_nothing_becomes_cheaper_by_a_cost_that_grows(constant):
    dearer = replace(CONSTANTS, **{constant: 2 * getattr(CONSTANTS, constant)})
    for game in GROWING.values():
        assert everything(dearer, game(100)) >= everything(CONSTANTS, game(100))


def everything(c: Constants, r: Round) -> float:
    times = model.seconds(c, r) + model.coordinator(c, r) + model.prepare(c, r) + model.hand_out(c, r)
    return times + model.meet(c, r, 2) + model.start(c, r) + model.checkpoint(c, r, 1e6)


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("name", games.GAMES)
def test_a_round_of_the_model_is_a_round_of_the_schedule(name, workers):
    assignment, r = games.GAMES[name](workers), calibration.ROUNDS[name](workers)
    schedule = assignment.schedule
    assert (len(schedule.workers), len(schedule.edges)) == (r.workers, r.messages)
    assert len(assignment.grammar.query.players) == r.players
    assert len({step.worker for step in schedule.steps if isinstance(step, Contribute)}) == (
        r.ring if r.ring > 1 else 0
    )
    sends, receives = hub(schedule)
    if name == "chain":
        counted = cost(assignment.grammar)
        assert counted.query_depth + counted.response_depth == r.depth
    elif name == "agents":
        assert (sends, receives) == (r.hub_sends + 2, 0)
    else:
        assert (sends, receives) == (r.hub_sends + 3, r.hub_receives + 1)  # with y, from Nature to the loss


def test_the_constants_come_back_from_their_table():
    told = document.constants_table(CONSTANTS)
    assert document.read_constants(f"<!-- constants -->\n{told}\n<!-- end -->") == CONSTANTS
    assert document.block(TEXT, "constants") == told


def test_the_document_says_what_follows_from_its_constants():
    """Else run `python -m benchmarks.scale --tables`."""
    for name, content in document.derived(CONSTANTS).items():
        assert document.block(TEXT, name) == content, name
        changed = document.derived(replace(CONSTANTS, hop=2 * CONSTANTS.hop, call=1, ask=1, mail=1))
        assert changed[name] != content


def test_remedies_are_no_worse_than_what_they_mend():
    for workers in (100, 1000, 10_000):
        many, alike = document.TYPICAL["agents"](workers), document.TYPICAL["replicas"](workers)
        assert limits.tree(CONSTANTS, many) <= model.coordinator(CONSTANTS, many)
        assert limits.sharded_hub(CONSTANTS, many, 4) <= model.seconds(CONSTANTS, many)
        assert limits.nested_ring(CONSTANTS, alike) <= model.seconds(CONSTANTS, alike)


@pytest.mark.parametrize("module", [limits, calibration, document], ids=lambda module: module.__name__)
def test_its_examples(module):
    failed, tried = doctest.testmod(module)
    assert (failed, tried > 0) == (0, True)
