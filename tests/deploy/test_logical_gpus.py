"""GPUs that Ray counts where there are none: who gets which, what each worker sees, and that the numbers stay."""

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import ray

from antiphon.coordinator.devices import Seen, look
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import Placement, WorkerResources, spread, together
from antiphon.deploy.executor import RayExecutor
from antiphon.errors import PlacementError
from antiphon.experiments.load import read_experiment
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.library import backprop
from antiphon.grammars.library.networks import Dense
from antiphon.transport.route import Route, Site, carrier, route
from rigs.games import points, small_dac, specifications


def on_gpus(grammar: Grammar, gpus: Mapping[str, float]) -> Placement:
    demands = tuple((worker, WorkerResources(num_gpus=share)) for worker, share in gpus.items())
    return replace(spread(grammar), resources=demands, logical_gpus=True)


def layered() -> Grammar:
    layers = {name: Factory.of(Dense, 6, 6) for name in ("First", "Second", "Third")}
    return backprop(points(6), {**layers, "Last": Factory.of(Dense, 6, 3)})


class Looking:
    def look(self) -> tuple[Seen, str | None]:
        return look(), os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.fixture
def free_gpus(ray_is_up):
    """All GPUs are free again, so that two halves come from one: Ray takes them back some time after a kill."""
    total, until = ray.cluster_resources()["GPU"], time.monotonic() + 30
    while ray.available_resources().get("GPU", 0) < total:
        assert time.monotonic() < until, "somebody holds a GPU for 30 s"
        time.sleep(0.05)


@pytest.fixture
def seen_by(free_gpus):
    """What workers see that are given these shares of GPUs, one after the other: their Seen, and the variable."""

    def seen(*shares: float) -> list:
        looking: Any = ray.remote(Looking)  # Any: Ray's actor classes have no common type
        actors = [looking.options(num_cpus=0, num_gpus=share).remote() for share in shares]
        try:
            return ray.get([actor.look.remote() for actor in actors])
        finally:
            for actor in actors:
                ray.kill(actor)

    return seen


@pytest.mark.slow
def test_each_worker_sees_what_ray_gave_it(seen_by) -> None:
    (one, narrowed), (half, _), (other_half, _), (two, both), (none, _) = seen_by(1, 0.5, 0.5, 2, 0)
    assert narrowed == one.assigned[0] and both == ",".join(two.assigned)
    assert half.assigned == other_half.assigned and len(half.assigned) == 1
    assert len({*one.assigned, *half.assigned, *two.assigned}) == 4
    assert none.assigned == () and one.node == two.node and one.gpus == ()


def sites_and_losses(
    grammar: Grammar, placement: Placement, run: str
) -> tuple[Mapping[str, Site], Any, Any]:  # Any: states
    with RayExecutor(assign(grammar, specifications(grammar), placement=placement, seed=7), run) as play:
        return play.sites(), play.play(6).losses, play.states()


@pytest.mark.slow
def test_routes_are_chosen_as_if_devices_were_there_and_memory_carries_all(free_gpus) -> None:
    grammar = layered()
    placement = on_gpus(grammar, {"First": 0.5, "Second": 0.5, "Third": 1, "Last": 2})
    sites, losses, _ = sites_and_losses(grammar, placement, "counted")
    assert sites["First"].gpu == sites["Second"].gpu
    assert len({sites[name].gpu for name in ("First", "Third", "Last")}) == 3
    assert sites["Nature"] == sites["Loss"] == Site(sites["First"].address, memory=sites["First"].memory)
    edges = assign(grammar, placement=placement).schedule.edges.values()
    routes = {(edge.source, edge.target): route(sites[edge.source], sites[edge.target]) for edge in edges}
    assert routes == {
        ("Nature", "First"): Route.HOST,
        ("First", "Second"): Route.HOST,
        ("Second", "First"): Route.HOST,
        ("Second", "Third"): Route.NCCL,
        ("Third", "Second"): Route.NCCL,
        ("Third", "Last"): Route.NCCL,
        ("Last", "Third"): Route.NCCL,
        ("Last", "Loss"): Route.HOST,
        ("Loss", "Last"): Route.HOST,
        ("Nature", "Loss"): Route.MEMORY,
    }
    assert {carrier(sites[edge.source], sites[edge.target]) for edge in edges} == {Route.MEMORY}
    with InlineExecutor(assign(grammar, specifications(grammar), seed=7)) as inline:
        assert losses == inline.play(6).losses


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gan", "dac"])
def test_a_rehearsal_changes_no_number(name: str, ray_is_up) -> None:
    grammar = small_dac() if name == "dac" else read_experiment("gan", {"gan.widths": [8], "gan.batch": 16}).build()
    players = {player.name: (0.5, 0.5, 1.0)[index % 3] for index, player in enumerate(grammar.query.players)}
    _, losses, states = sites_and_losses(grammar, on_gpus(grammar, players), f"rehearsal-{name}")
    with InlineExecutor(assign(grammar, specifications(grammar), seed=7)) as inline:
        assert losses == inline.play(6).losses
        expected = inline.states()
    for player in players:
        for key, value in expected[player]["parameters"].items():
            assert states[player]["parameters"][key].equal(value)


def test_without_a_rehearsal_a_gpu_that_is_not_there_is_an_error(ray_is_up) -> None:
    grammar = layered()
    with pytest.raises(PlacementError) as error:
        sites_and_losses(
            grammar, replace(together(grammar), resources=(("inline", WorkerResources(num_gpus=1)),)), "no rehearsal"
        )
    assert str(error.value).startswith("worker 'inline' was given GPU ")
    assert str(error.value).endswith(
        "there; expected that GPU among them. Install a CUDA build of torch and a driver for it, or set "
        "logical_gpus = true in the placement: a rehearsal in which Ray counts GPUs and everything computes on CPUs."
    )
