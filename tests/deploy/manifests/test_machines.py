"""Machines of a placement: everyone fits, no machine is asked for more than it has, and what cannot fit is refused."""

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from antiphon.coordinator.plan.placement import Strategy, WorkerResources
from antiphon.deploy.bundles import bundles_of
from antiphon.deploy.cluster import Machine
from antiphon.deploy.manifests import MachineGroup, Size, groups
from antiphon.deploy.manifests.machines import alike, refuse_addresses
from antiphon.deploy.satisfiable import refuse_unsatisfiable
from antiphon.errors import PlacementError
from tests.deploy.manifests.conftest import MIXED, placement

ROOMS = st.builds(
    WorkerResources,
    num_cpus=st.sampled_from([0.0, 0.5, 1.0, 3.0, 4.0]),
    num_gpus=st.sampled_from([0.0, 0.25, 0.6, 1.0, 2.0]),
    resources=st.sampled_from([(), (("camera", 1.0),)]),
    node=st.sampled_from(["", (("zone", "a"),), (("zone", "b"),)]),
)
PLACEMENTS = st.builds(
    lambda demands, strategy: placement(
        {f"W{index}": demand for index, demand in enumerate(demands)}, strategy=strategy
    ),
    st.lists(ROOMS, min_size=1, max_size=10),
    st.sampled_from(list(Strategy)),
)


def machines(*found: MachineGroup) -> list[Machine]:
    """As a cluster would have them."""
    totals = [
        (group, {"CPU": group.cpus, "GPU": group.gpus, **dict(group.resources), f"node:{group.address}": 1.0})
        for group in found
        for _ in group.workers
    ]
    return [
        Machine(group.address or f"192.0.2.{index}", total, dict(group.labels), total)
        for index, (group, total) in enumerate(totals)
    ]


@given(PLACEMENTS)
def test_the_groups_satisfy_the_placement_as_a_run_will_judge_it(drawn):
    found = groups(drawn, Size(4, 2, 16))
    refuse_unsatisfiable(bundles_of(drawn), machines(*found), drawn.strategy)


@given(PLACEMENTS)
def test_machines_that_are_alike_satisfy_it_too(drawn):
    try:
        group = alike(drawn, Size(4, 2, 16))
    except PlacementError as refused:
        assert "expected equal labels" in str(refused)
    else:
        refuse_unsatisfiable(bundles_of(drawn), machines(group), drawn.strategy)


def test_a_machine_less_does_not_satisfy_it():
    drawn = placement({name: WorkerResources(num_cpus=3) for name in "ABC"})
    (group,) = groups(drawn, Size(4, 2, 16))
    assert group.count == 3
    with pytest.raises(PlacementError):
        refuse_unsatisfiable(bundles_of(drawn), machines(replace(group, workers=group.workers[1:])), drawn.strategy)


def test_workers_that_ask_for_the_same_kinds_share_a_group():
    found = groups(placement(MIXED), Size(8, 1, 16))
    assert [(group.name, group.workers) for group in found] == [
        ("gpu", (("Judge",), ("Forger", "Curator"))),
        ("cpu", (("Camera",),)),
        ("cpu-2", (("Nature",),)),
    ]
    assert [(group.cpus, group.gpus, group.memory) for group in found] == [(8, 1, 16), (8, 0, 16), (8, 0, 16)]
    assert (found[1].labels, found[1].resources) == ((("zone", "lab"),), (("camera", 1.0),))


def test_who_asks_for_nothing_shares_one_bundle_of_a_run_hence_one_machine():
    (group,) = groups(placement({name: WorkerResources() for name in "ABCDEFGHIJ"}), Size(2, 1, 16))
    assert (group.count, group.everyone) == (1, "A, B, C, D, E, F, G, H and 2 more")


def test_the_coordinator_is_reckoned_where_nobody_asks_for_a_cpu():
    found = groups(placement({"A": WorkerResources(num_gpus=1)}), Size(8, 1, 16))
    assert [(group.name, group.workers) for group in found] == [("gpu", (("A",),)), ("cpu", (("coordinator",),))]


def test_a_spread_reckons_a_machine_for_each_worker():
    demands = {name: WorkerResources(num_cpus=1) for name in "ABC"}
    for strategy in (Strategy.SPREAD, Strategy.STRICT_SPREAD):
        assert [group.count for group in groups(placement(demands, strategy=strategy), Size())] == [3]
    assert [group.count for group in groups(placement(demands), Size())] == [1]


def test_replicas_are_counted():
    found = groups(placement({"A": WorkerResources(num_cpus=4)}, replicas=(("A", 3),)), Size(8, 1, 16))
    assert [group.workers for group in found] == [(("A", "A#1"), ("A#2",))]


def test_a_fraction_of_a_gpu_is_on_one_gpu():
    demands = {name: WorkerResources(num_cpus=1, num_gpus=0.6) for name in "ABC"}
    assert [group.workers for group in groups(placement(demands), Size(8, 2, 16))] == [(("A", "B"), ("C",))]


def test_custom_resources_add_up_on_a_machine():
    demands = {name: WorkerResources(num_cpus=4, resources=(("camera", 1.0),)) for name in "ABC"}
    assert [group.resources for group in groups(placement(demands), Size(8, 1, 16))] == [(("camera", 2.0),)]


@pytest.mark.parametrize(
    ("demand", "text"),
    [
        (
            WorkerResources(num_cpus=16),
            "worker 'A' asks for 16 CPUs, and a machine has 8; expected every worker to fit on one machine. "
            "Ask for larger machines, --machine-cpus 16, or give the worker less.",
        ),
        (
            WorkerResources(num_gpus=4),
            "worker 'A' asks for 4 GPUs, and a machine has 1; expected every worker to fit on one machine. "
            "Ask for larger machines, --machine-gpus 4, or give the worker less.",
        ),
    ],
)
def test_a_worker_that_no_machine_holds_is_refused(demand, text):
    for reckon in (groups, alike):
        with pytest.raises(PlacementError) as refused:
            reckon(placement({"A": demand}), Size(8, 1, 16))
        assert str(refused.value) == text


def test_a_machine_that_is_named_is_one():
    demands = {name: WorkerResources(num_cpus=3, node="192.0.2.7") for name in "AB"}
    assert [group.address for group in groups(placement(demands), Size(8, 1, 16))] == ["192.0.2.7"]
    with pytest.raises(PlacementError) as refused:
        groups(placement(demands), Size(4, 1, 16))
    assert str(refused.value) == (
        "the machine '192.0.2.7' is to hold 'A', 'B', which fill 2 machines of 4 CPUs and 1 GPUs; expected them to fit "
        "on it. Move some of them, or say how large it is with --machine-cpus and --machine-gpus."
    )


def test_an_address_is_refused_where_nobody_knows_it_before_the_start():
    with pytest.raises(PlacementError) as refused:
        refuse_addresses(placement({"A": WorkerResources(node="192.0.2.7")}), "Kubernetes")
    assert str(refused.value) == (
        "worker 'A' is placed on the machine '192.0.2.7', and Kubernetes tells addresses only once machines have "
        "started; expected labels there. Place it by labels, or make a manifest for `ray up`."
    )


def test_machines_that_are_alike_carry_no_two_values_of_a_label():
    demands = {"A": WorkerResources(node=(("zone", "a"),)), "B": WorkerResources(node=(("zone", "b"),))}
    with pytest.raises(PlacementError) as refused:
        alike(placement(demands), Size())
    assert str(refused.value) == (
        "worker 'B' asks for a node with the label zone=b, and another for zone=a; expected equal labels, for the "
        "machines of a Slurm job are alike. Make a manifest for KubeRay or `ray up`, or leave one of the labels out."
    )
