"""WorkerResources on a cluster: refused at once, waited for, given back; and workers get what they asked for."""

import os
import re
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import ray
import torch
from ray.util.placement_group import placement_group_table

import antiphon
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import Placement, Strategy, WorkerResources
from antiphon.deploy.cluster import machines, own_machine
from antiphon.deploy.environments import _cause
from antiphon.deploy.executor import RayExecutor
from antiphon.deploy.reservation import Reservation
from antiphon.errors import PlacementError
from rigs.games import wide

MANY = Placement(tuple((f"W{index}", ()) for index in range(40)))


def asking(**demands: WorkerResources) -> Placement:
    return replace(MANY, resources=tuple(demands.items()))


def held() -> list[str]:
    """The names of whoever holds or wants demand."""
    return sorted(each["name"] for each in placement_group_table().values() if each["state"] != "REMOVED")


@pytest.fixture
def nothing_is_held(ray_is_up):
    before = held()
    yield
    assert held() == before


@pytest.mark.parametrize(
    ("placement", "text"),
    [
        (asking(W1=WorkerResources(num_gpus=9)), "  worker 'W1' asks for 9 GPUs, and no machine has more than 8;\n"),
        (
            asking(W1=WorkerResources(num_cpus=7), W2=WorkerResources(num_cpus=8)),
            "  together 15 CPUs are asked for ('W1' 7, 'W2' 8), and the cluster has 12;\n",
        ),
        (
            asking(W1=WorkerResources(node=(("zone", "a"),)), W2=WorkerResources(node="10.9.9.9")),
            "  worker 'W1' is to be where zone = 'a', and no machine carries that;\n"
            "  worker 'W2' is to be on '10.9.9.9', and no machine has that address;\n",
        ),
        (
            Placement((("A", ()), ("B", ())), strategy=Strategy.STRICT_SPREAD),
            "  2 workers are to be on a machine each (strategy 'strict_spread'), and the cluster has 1 ('A', 'B');\n",
        ),
    ],
)
def test_what_can_never_be_is_refused_before_anything_is_asked(nothing_is_held, monkeypatch, placement, text):
    monkeypatch.setattr("antiphon.deploy.reservation.placement_group", None)
    with pytest.raises(PlacementError) as caught:
        Reservation(placement)
    head, tail = "the placement asks for what the cluster does not have:\n", "expected all of it on '"
    assert str(caught.value).startswith(head + text + tail)


def test_what_is_busy_is_waited_for_and_whoever_holds_it_is_told(nothing_is_held):
    first = Reservation(asking(W1=WorkerResources(num_cpus=11)), "antiphon-first")
    address = ray.nodes()[0]["NodeManagerAddress"]
    with pytest.raises(PlacementError) as caught:
        Reservation(asking(W1=WorkerResources(num_cpus=12)), "antiphon-second", deadline=0.2)
    told = re.sub(r"has [\d.]+ CPUs? free", "has some", str(caught.value)).replace("'antiphon-pool' holds 1 CPU, ", "")
    assert told.replace(", 'antiphon-pool' holds 1 CPU", "") == (
        f"the run's resources were not free within 0.2 s: it asks for 12 CPUs; '{address}' has some; 'antiphon-first' "
        "holds 11 CPUs. Expected others to end in time: wait for them, stop one, or ask for less."
    )
    assert "antiphon-second" not in held()
    later = threading.Timer(0.2, first.release)
    later.start()
    second = Reservation(asking(W1=WorkerResources(num_cpus=11)), "antiphon-second")
    later.join()
    second.release()
    second.release()


def test_what_a_ray_of_ones_own_will_have_is_known_before(ray_is_up):
    (there,) = machines()
    foreseen = own_machine(12, 8)  # as the fixture starts it
    assert foreseen.address == there.address
    assert {name: foreseen.total.get(name) for name in ("CPU", "GPU")} == {
        name: there.total.get(name) for name in ("CPU", "GPU")
    }
    assert foreseen.labels.items() <= there.labels.items()
    assert own_machine(3, None).total.get("GPU", 0) == torch.cuda.device_count()


@pytest.mark.parametrize("strategy", [Strategy.PACK, Strategy.SPREAD])
def test_forty_who_ask_nothing_take_no_more_than_a_cpu(nothing_is_held, strategy):
    reservation = Reservation(replace(MANY, strategy=strategy), "antiphon-many")
    (own,) = [each for each in placement_group_table().values() if each["name"] == "antiphon-many"
              and each["state"] == "CREATED"]  # fmt: skip
    assert sum(bundle["CPU"] for bundle in own["bundles"].values()) <= 1
    reservation.release()


def test_a_worker_gets_what_its_room_says(nothing_is_held):
    address = ray.nodes()[0]["NodeManagerAddress"]
    demand = WorkerResources(num_cpus=2, node=address, runtime_env='{"env_vars": {"RATE": "1"}}')
    reservation = Reservation(asking(W1=demand), "antiphon-demand")
    options = reservation.options("W1")
    assert options["scheduling_strategy"].placement_group_bundle_index == 0
    assert options["runtime_env"]["env_vars"] == {"RATE": "1"}
    assert (options["num_cpus"], options["num_gpus"], options["resources"]) == (2, 0, {})
    assert reservation.options()["num_cpus"] == reservation.options("W0")["num_cpus"] == 0
    reservation.release()


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        (
            '{"pips": ["x"]}',
            "the runtime_env of worker 'W1' has 'pips', which Ray does not know; expected some of conda, ",
        ),
        (
            '{"working_dir": "/nowhere"}',
            "the runtime_env of worker 'W1' cannot be set up: /nowhere is not a valid path. Expected Ray to make "
            '{"working_dir": "/nowhere"}; correct it, or what it names.',
        ),
    ],
)
def test_an_environment_that_ray_would_not_take(nothing_is_held, environment, text):
    reservation = Reservation(asking(W1=WorkerResources(runtime_env=environment)))
    with pytest.raises(PlacementError) as caught:
        reservation.options("W1")
    reservation.release()
    assert str(caught.value).startswith(text)


def test_of_a_report_on_an_environment_the_cause_is_told():
    report = "Failed.\nTraceback\n  File x\nError: cmd failed\nLast 50 lines:\n    ERROR: No package\n    Hint: none"
    assert _cause(report) == "No package"
    assert _cause("Failed.\nTraceback\nOSError: disk full\n") == "OSError: disk full"
    assert _cause("") == "no reason was told"


def test_a_resident_pool_has_no_resources_to_give(pool):
    grammar = wide()
    first, *_ = antiphon.spread(grammar).names
    placement = antiphon.place(grammar, of={first: {"num_cpus": 1}})
    with pytest.raises(PlacementError) as caught:
        RayExecutor(assign(grammar, placement=placement), "roomy", pool=pool)
    assert str(caught.value) == (
        "run 'roomy' asks resources for its workers, and a resident pool has none to give; expected workers "
        "that ask nothing. Leave out the pool."
    )


AGENT = '''
import os


class Descent:
    """SGD, at a rate that only its own process knows."""

    def __init__(self, parameters):
        self.parameters, self.heard = parameters, None

    def hear(self, response):
        self.heard = response

    def move(self):
        for parameter, each in zip(self.parameters, self.heard):
            parameter.sub_(each, alpha=float(os.environ["RATE"]))
        return self.parameters

    def state(self):
        return {}

    def load(self, state):
        pass
'''


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_an_agent_in_a_process_of_its_own_environment_equals_the_optimizer_that_it_copies(ray_is_up, tmp_path):
    """Its module can be imported there alone, and its rate is known there alone."""
    (tmp_path / "descent_of_ones_own.py").write_text(AGENT)
    path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    apart = {"num_cpus": 1, "runtime_env": {"env_vars": {"RATE": "0.25", "PYTHONPATH": path}}}
    grammar = antiphon.read_experiment("backprop", ["backprop.widths=[8]", "backprop.batch=16"]).build()
    placement = antiphon.place(grammar, of={"Dense1": {"remote_agent": apart}}, fuse=[["Nature", "Output", "Loss"]])
    plain = antiphon.agent("SGD", lr=0.25)
    agents = {"Dense1": antiphon.agent(agent="descent_of_ones_own:Descent"), "Output": plain}
    with antiphon.launch(grammar, agents, placement=placement, executor="ray") as on_ray:
        assert set(on_ray.places) == {"Nature", "Dense1", "Dense1.agent"}
        there, numbers = on_ray.play(20), on_ray.states()
    with antiphon.launch(grammar, plain) as inline:
        here, same = inline.play(20), inline.states()
    assert there.losses["Loss"].values == here.losses["Loss"].values
    for name in ("Dense1", "Output"):
        one, other = numbers[name]["parameters"], same[name]["parameters"]
        assert all(torch.equal(one[key], other[key]) for key in other)


NODES = """
import ray
from ray.cluster_utils import Cluster
from ray.util.placement_group import placement_group_table

from antiphon.coordinator.plan.placement import Placement, WorkerResources, Strategy
from antiphon.deploy.reservation import Reservation
from antiphon.errors import PlacementError


def nodes(placement):
    reservation = Reservation(placement, "mine", deadline=20)
    (own,) = [each for each in placement_group_table().values() if each["state"] == "CREATED"]
    at = {
        worker: reservation.options(worker)["scheduling_strategy"].placement_group_bundle_index
        for worker in placement.names
    }
    found = {worker: known[own["bundles_to_node_id"][index]] for worker, index in at.items()}
    reservation.release()
    return found


three = (("A", ()), ("B", ()), ("C", ()))
head = {"num_cpus": 1, "include_dashboard": False}
cluster = Cluster(head_node_args=head, initialize_head=True)
try:
    cluster.add_node(num_cpus=1, num_gpus=1, labels={"zone": "x"})
    cluster.add_node(num_cpus=2, resources={"fast": 1}, labels={"zone": "y"})
    ray.init(cluster.address, log_to_driver=False)
    known = {node["NodeID"]: node["Labels"].get("zone", "head") for node in ray.nodes()}
    demands = (("A", WorkerResources(node=(("zone", "y"),))), ("B", WorkerResources(num_gpus=0.5)))
    print(nodes(Placement(three, resources=demands, strategy=Strategy.STRICT_SPREAD)))
    print(sorted(nodes(Placement(three, strategy=Strategy.SPREAD)).values()))
    for zones in ("xy", "yx"):
        demands = tuple((name, WorkerResources(node=(("zone", zone),))) for name, zone in zip("AB", zones, strict=True))
        found = nodes(Placement(three, resources=demands))
        print(found["A"], found["B"])
    fast = (("C", WorkerResources(num_cpus=1, resources=(("fast", 0.5),))),)
    print(nodes(Placement(three, resources=fast)))
    try:
        nodes(Placement((*three, ("D", ())), strategy=Strategy.STRICT_SPREAD))
    except PlacementError as error:
        print(str(error).splitlines()[1])
finally:
    ray.shutdown()
    cluster.shutdown()
"""


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_on_three_machines_everyone_is_where_the_placement_says(tmp_path):
    """In a process of its own, since a process joins one cluster; its machines are raylets on this one."""
    Path(tmp_path / "nodes.py").write_text(NODES)
    with tempfile.TemporaryDirectory(prefix="a", ignore_cleanup_errors=True) as folder:  # short: sockets are in it
        (Path(folder) / "ray").mkdir()
        call, environment = [sys.executable, "-P", "nodes.py"], {**os.environ, "RAY_TMPDIR": folder}
        ended = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines() == [
        "{'A': 'y', 'B': 'x', 'C': 'head'}",
        "['head', 'x', 'y']",
        "x y",
        "y x",
        "{'A': 'y', 'B': 'y', 'C': 'y'}",
        "  4 workers are to be on a machine each (strategy 'strict_spread'), and the cluster has 3 "
        "('A', 'B', 'C', 'D');",
    ], ended.stderr
