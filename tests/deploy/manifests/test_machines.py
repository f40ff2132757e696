"""Machines of a placement: everyone fits, no machine is asked for more than it has, and what cannot fit is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.coordinator.placement import Room, Strategy
from antiphon.deploy.manifests import Size, groups
from antiphon.deploy.manifests.machines import alike, cpus_of, refuse_addresses
from antiphon.errors import PlacementError
from tests.deploy.manifests.conftest import MIXED, placement

ROOMS = st.builds(
    Room,
    num_cpus=st.sampled_from([0.0, 0.5, 1.0, 3.0, 4.0]),
    num_gpus=st.sampled_from([0.0, 0.25, 0.6, 1.0, 2.0]),
    node=st.sampled_from(["", (("zone", "a"),), (("zone", "b"),)]),
)


def test_workers_that_ask_for_the_same_kinds_share_a_group():
    found = groups(placement(MIXED), Size(8, 1, 16))
    assert [(group.name, group.workers) for group in found] == [
        ("cpu", (("Nature",),)),
        ("cpu-2", (("Camera",),)),
        ("gpu", (("Judge",), ("Forger", "Curator"))),
    ]
    assert [(group.cpus, group.gpus, group.memory) for group in found] == [(8, 0, 16), (8, 0, 16), (8, 1, 16)]
    assert (found[1].labels, found[1].resources) == ((("zone", "lab"),), (("camera", 1.0),))


def test_a_spread_reckons_a_machine_for_each_worker():
    rooms = {name: Room(num_cpus=1) for name in "ABC"}
    for strategy in (Strategy.SPREAD, Strategy.STRICT_SPREAD):
        assert [group.count for group in groups(placement(rooms, strategy=strategy), Size())] == [3]
    assert [group.count for group in groups(placement(rooms), Size())] == [1]


def test_replicas_are_counted():
    found = groups(placement({"A": Room(num_cpus=4)}, replicas=(("A", 3),)), Size(8, 1, 16))
    assert [group.workers for group in found] == [(("A", "A#1"), ("A#2",))]


def test_a_fraction_of_a_gpu_is_on_one_gpu():
    rooms = {name: Room(num_gpus=0.6) for name in "ABC"}
    assert [group.workers for group in groups(placement(rooms), Size(8, 2, 16))] == [(("A", "B"), ("C",))]


def test_custom_resources_add_up_on_a_machine():
    rooms = {name: Room(num_cpus=4, resources=(("camera", 1.0),)) for name in "ABC"}
    assert [group.resources for group in groups(placement(rooms), Size(8, 1, 16))] == [(("camera", 2.0),)]


@given(st.lists(ROOMS, min_size=1, max_size=12), st.sampled_from(list(Strategy)))
def test_everyone_fits_and_no_machine_is_overfull(drawn, strategy):
    rooms = {f"W{index}": room for index, room in enumerate(drawn)}
    found = groups(placement(rooms, strategy=strategy), Size(4, 2, 16), with_coordinator=True)
    machines = [(group, machine) for group in found for machine in group.workers]
    assert sorted(name for _, machine in machines for name in machine) == sorted([*rooms, "coordinator"])
    for group, machine in machines:
        held = [rooms.get(name, Room()) for name in machine]
        assert sum(map(cpus_of, held)) <= group.cpus + 1e-6
        assert sum(room.num_gpus for room in held) <= group.gpus + 1e-6
        assert {room.node for room in held} <= {group.labels, ""}
        assert strategy is Strategy.PACK or len([name for name in machine if name in rooms]) <= 1


@given(st.lists(ROOMS.filter(lambda room: not room.node), min_size=1, max_size=8))
def test_machines_that_are_alike_hold_everyone(drawn):
    rooms = {f"W{index}": room for index, room in enumerate(drawn)}
    group = alike(placement(rooms), Size(4, 2, 16))
    assert sorted(name for machine in group.workers for name in machine) == sorted([*rooms, "coordinator"])
    for machine in group.workers:
        assert sum(cpus_of(rooms.get(name, Room())) for name in machine) <= 4


@pytest.mark.parametrize(
    ("room", "text"),
    [
        (
            Room(num_cpus=16),
            "worker 'A' asks for 16 CPUs, and a machine has 8; expected every worker to fit on one machine. "
            "Ask for larger machines, --machine-cpus 16, or give the worker less.",
        ),
        (
            Room(num_gpus=4),
            "worker 'A' asks for 4 GPUs, and a machine has 1; expected every worker to fit on one machine. "
            "Ask for larger machines, --machine-gpus 4, or give the worker less.",
        ),
    ],
)
def test_a_worker_that_no_machine_holds_is_refused(room, text):
    for reckon in (groups, alike):
        with pytest.raises(PlacementError) as refused:
            reckon(placement({"A": room}), Size(8, 1, 16))
        assert str(refused.value) == text


def test_a_machine_that_is_named_is_one():
    rooms = {name: Room(num_cpus=3, node="192.0.2.7") for name in "AB"}
    assert [group.address for group in groups(placement(rooms), Size(8, 1, 16))] == ["192.0.2.7"]
    with pytest.raises(PlacementError) as refused:
        groups(placement(rooms), Size(4, 1, 16))
    assert str(refused.value) == (
        "the machine '192.0.2.7' is to hold 'A', 'B', which fill 2 machines of 4 CPUs and 1 GPUs; expected them to fit "
        "on it. Move some of them, or say how large it is with --machine-cpus and --machine-gpus."
    )


def test_an_address_is_refused_where_nobody_knows_it_before_the_start():
    with pytest.raises(PlacementError) as refused:
        refuse_addresses(placement({"A": Room(node="192.0.2.7")}), "Kubernetes")
    assert str(refused.value) == (
        "worker 'A' is placed on the machine '192.0.2.7', and Kubernetes tells addresses only once machines have "
        "started; expected labels there. Place it by labels, or make a manifest for `ray up`."
    )


def test_machines_that_are_alike_carry_no_two_values_of_a_label():
    rooms = {"A": Room(node=(("zone", "a"),)), "B": Room(node=(("zone", "b"),))}
    with pytest.raises(PlacementError) as refused:
        alike(placement(rooms), Size())
    assert str(refused.value) == (
        "worker 'B' asks for a node with the label zone=b, and another for zone=a; expected equal labels, for the "
        "machines of a Slurm job are alike. Make a manifest for KubeRay or `ray up`, or leave one of the labels out."
    )
