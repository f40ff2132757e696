"""What a placement asks of the cluster: bundles, and how many CPUs and devices hold them."""

from dataclasses import replace

from antiphon.coordinator.plan.placement import Placement, Strategy, WorkerResources
from antiphon.deploy.bundles import TRACE, Bundle, bundles_of, cpus_for, devices, gpus_for

QUIET = Placement((("a", ()), ("b", ()), ("c", ())))


def asking(**demands):
    return replace(QUIET, resources=tuple(demands.items()))


def test_under_pack_all_who_ask_nothing_share_one_cpu():
    assert bundles_of(QUIET) == (Bundle(("a", "b", "c"), {"CPU": 1}),)
    assert bundles_of(Placement(())) == (Bundle((), {"CPU": 1}),)
    assert bundles_of(asking(b=WorkerResources(num_gpus=0.5))) == (
        Bundle(("a", "c"), {"CPU": 1}),
        Bundle(("b",), {"GPU": 0.5}),
    )


def test_under_pack_they_live_with_someone_who_asks_for_cpus_best_without_a_machine_of_its_own():
    placement = asking(
        a=WorkerResources(num_cpus=2, node="10.0.0.1"), b=WorkerResources(num_cpus=1, resources=(("fast", 2),))
    )
    assert bundles_of(placement) == (
        Bundle(("b", "c"), {"CPU": 1, "fast": 2}),
        Bundle(("a",), {"CPU": 2}, "10.0.0.1"),
    )


def test_spread_everyone_has_a_bundle_of_nearly_nothing():
    placement = replace(
        asking(b=WorkerResources(node=(("zone", "x"),)), c=WorkerResources(node="10.0.0.1")), strategy=Strategy.SPREAD
    )
    found = bundles_of(placement)
    assert [each.workers for each in found] == [("a",), ("b",), ("c",)]
    assert [each.asked for each in found] == [{"CPU": TRACE}, {"CPU": TRACE}, {"node:10.0.0.1": TRACE}]
    assert [each.labels for each in found] == [{}, {"zone": "x"}, {}]


def test_every_replica_is_a_worker_with_a_room():
    placement = replace(asking(b=WorkerResources(num_gpus=1)), replicas=(("b", 3),))
    assert [each.workers for each in bundles_of(placement)] == [("a", "c"), ("b",), ("b#1",), ("b#2",)]


def test_a_ray_of_ones_own_is_large_enough():
    placement = asking(
        a=WorkerResources(num_cpus=7.5, num_gpus=0.6), b=WorkerResources(num_gpus=0.6), c=WorkerResources(num_gpus=2)
    )
    assert (cpus_for(QUIET), cpus_for(placement)) == (4, 8)
    assert gpus_for(placement) is None and gpus_for(replace(placement, logical_gpus=True)) == 4


def test_a_fraction_of_a_gpu_lies_on_one_device():
    assert devices([0.5, 0.5, 0.5]) == 2
    assert devices([0.25] * 4 + [1, 3]) == 5
