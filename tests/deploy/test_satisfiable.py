"""A cluster that can never satisfy a placement is known before anything is asked: who misses what, what there is."""

import pytest

from antiphon.coordinator.plan.placement import Strategy
from antiphon.deploy.bundles import Bundle
from antiphon.deploy.cluster import Machine
from antiphon.deploy.satisfiable import refuse_unsatisfiable
from antiphon.errors import PlacementError

SMALL = Machine("10.0.0.1", {"CPU": 2, "memory": 1e9, "node:10.0.0.1": 1, "CPU_group_0_ab": 1}, {"zone": "a"})
LARGE = Machine("10.0.0.2", {"CPU": 4, "GPU": 2, "fast": 1}, {"zone": "b", "ray.io/node-id": "f00"})
TOLD = "'10.0.0.1' (2 CPUs, 0 GPUs, zone = 'a'), '10.0.0.2' (4 CPUs, 2 GPUs, 1 of 'fast', zone = 'b')"


def one(worker: str, node: str | tuple[tuple[str, str], ...] = "", **resources: float) -> Bundle:
    return Bundle((worker,), resources, node)


def refusal(bundles, machines=(SMALL, LARGE), strategy=Strategy.PACK):
    with pytest.raises(PlacementError) as caught:
        refuse_unsatisfiable(bundles, machines, strategy)
    head, *problems, tail = str(caught.value).splitlines()
    assert head == "the placement asks for what the cluster does not have:"
    return problems, tail


CASES = {
    "more than any machine has": (
        [one("A", CPU=5), one("B", GPU=3)],
        ["worker 'A' asks for 5 CPUs, and no machine has more than 4", "worker 'B' asks for 3 GPUs, and no machine has "
         "more than 2"],
    ),
    "more than there is, in sum": (
        [one("A", CPU=4), one("B", CPU=2), one("C", CPU=0.5)],
        ["together 6.5 CPUs are asked for ('A' 4, 'B' 2, 'C' 0.5), and the cluster has 6"],
    ),
    "fractions that lie on no device": (
        [one(name, GPU=0.6) for name in "ABC"],
        ["together 1.8 GPUs are asked for ('A' 0.6, 'B' 0.6, 'C' 0.6), for which 3 are needed, and the cluster has 2"],
    ),
    "labels that nobody carries": (
        [one("A", (("zone", "c"), ("disk", "ssd")))],
        ["worker 'A' is to be where zone = 'c', disk = 'ssd', and no machine carries that"],
    ),
    "labels that only a small one carries": (
        [one("A", (("zone", "a"),), CPU=3)],
        ["worker 'A' asks for 3 CPUs, and no machine where it may be has more than 2"],
    ),
    "an address of nobody": (
        [one("A", "10.0.0.9")],
        ["worker 'A' is to be on '10.0.0.9', and no machine has that address"],
    ),
    "nowhere both": (
        [one("A", CPU=3), one("B", (("zone", "b"),), CPU=2)],
        ["each of the workers 'A', 'B' fits on a machine, but not all of them on the machines that there are "
         "(strategy 'pack')"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_missing_is_told_with_names(case):
    bundles, problems = CASES[case]
    found, tail = refusal(bundles)
    assert found == [f"  {each};" for each in problems]
    assert tail == f"expected all of it on {TOLD}. Ask for less, or join a cluster that has it."


def test_strictly_spread_there_is_a_machine_for_each():
    bundles = [one("A"), one("B"), one("C")]
    found, _ = refusal(bundles, strategy=Strategy.STRICT_SPREAD)
    assert found == [
        "  3 workers are to be on a machine each (strategy 'strict_spread'), and the cluster has 2 ('A', 'B', 'C');"
    ]
    refuse_unsatisfiable(bundles, (SMALL, LARGE), Strategy.SPREAD)
    refuse_unsatisfiable(bundles[:2], (SMALL, LARGE), Strategy.STRICT_SPREAD)


def test_strictly_spread_two_may_not_want_the_same_machine():
    found, _ = refusal([one("A", CPU=3), one("B", GPU=1)], strategy=Strategy.STRICT_SPREAD)
    assert found == [
        "  each of the workers 'A', 'B' fits on a machine, but not all of them on the machines that there are "
        "(strategy 'strict_spread');"
    ]


def test_where_there_are_no_gpus_they_can_be_rehearsed():
    found, tail = refusal([one("A", GPU=1)], (SMALL,))
    assert found == ["  worker 'A' asks for 1 GPU, and no machine has more than 0;"]
    assert tail == (
        "expected all of it on '10.0.0.1' (2 CPUs, 0 GPUs, zone = 'a'). Ask for less, or join a cluster that has it. "
        "Where there are no GPUs, placement.logical_gpus = true counts them on a Ray of one's own."
    )


def test_the_layout_is_searched_and_not_guessed():
    """Whoever may be anywhere leaves the machine to whom it is the only one."""
    refuse_unsatisfiable([one("A", CPU=2), one("B", CPU=4)], (LARGE, SMALL), Strategy.PACK)
    refuse_unsatisfiable([one("A", CPU=2), one("B", "10.0.0.2", CPU=4)], (LARGE, SMALL), Strategy.PACK)


def test_many_alike_take_no_time():
    bundles = [one(f"W{index}", CPU=1) for index in range(200)]
    refuse_unsatisfiable(bundles, [Machine(f"10.0.1.{index}", {"CPU": 2}) for index in range(100)], Strategy.PACK)
    found, _ = refusal([one(f"W{index}", CPU=2) for index in range(60)], [Machine("m", {"CPU": 3})] * 50)
    refuse_unsatisfiable(
        [one(f"W{index}", CPU=1) for index in range(2000)], [Machine("m", {"CPU": 2000})], Strategy.PACK
    )
    assert len(found) == 1 and found[0].endswith("on the machines that there are (strategy 'pack');")


def test_of_many_machines_some_are_told():
    _, tail = refusal([one("A", CPU=9)], [Machine(f"10.0.1.{index}", {"CPU": 2}) for index in range(9)])
    assert tail.count("10.0.1.") == 6 and ", 3 more. Ask" in tail
