"""Who reaches a run: nobody outside its machine, no other user, and nobody who has another token."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import ray

from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import Strategy, spread
from antiphon.deploy.executor import RayExecutor
from antiphon.doctor.rounds import small
from rigs.network_namespaces import Machine, Machines
from rigs.ray_nodes import SeveralNetworks, nodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.usefixtures("namespaces")]

PLAYS = """
import os, sys, threading
from antiphon.deploy.embedded import ray_session
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import Strategy, spread
from antiphon.deploy.executor import RayExecutor
from antiphon.doctor.rounds import small
from antiphon.doctor.rounds import small
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
import ray
grammar = small("backprop")
with ray_session(num_cpus=2), RayExecutor(assign(grammar, placement=spread(grammar)), "alone") as run:
    print(ray._private.worker.global_worker.node.get_session_dir_path(), flush=True)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        print(run.play(50).round, flush=True)
"""
PLAYERS = re.compile(r"ray::(Coordinato|Worker)")
REACHED = """
import json, socket, sys
host, *ports = sys.argv[1:]
def reached(port):
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            return True
    except OSError:
        return False
print(json.dumps([port for port in ports if reached(port)]))
"""
METHODS = "CoreWorkerService/GetCoreWorkerStats NodeManagerService/GetNodeStats NodeInfoGcsService/CheckAlive"
METHODS += " RayletDriver/ClusterInfo"  # of Ray's client
ASKS = """
import json, sys
import grpc
methods, *places = sys.argv[1:]
found = {}
for place in places:
    for method in methods.split():
        for sent in (None, [("authorization", "Bearer guessed")]):
            try:
                grpc.insecure_channel(place).unary_unary("/ray.rpc." + method)(b"", timeout=30, metadata=sent)
                code = "OK"
            except grpc.RpcError as error:
                code = error.code().name
            found.setdefault(place, []).append(code)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with Machines("alice", "mallory") as found:
        yield found


@pytest.fixture(scope="module")
def playing(machines: Machines) -> Iterator[Path]:
    """Ray's session folder of a run that plays on alice's machine alone, until the tests end."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    environment = {"PYTHONPATH": os.environ["PYTHONPATH"]}
    with machines["alice"].start(sys.executable, "-P", "-c", PLAYS, environment=environment, **pipes) as run:
        assert run.stdin is not None and run.stdout is not None
        session = Path(run.stdout.readline().strip())
        first = int(run.stdout.readline())
        yield session
        run.stdin.close()
        assert int(run.stdout.read().split()[-1]) > first  # it played while the tests looked at it
        assert run.wait(60) == 0


def listens(machine: Machine) -> list[tuple[str, str]]:
    """Address and port of each socket that listens on a machine."""
    lines = machine.run("ss", "-ltnH").stdout.splitlines()
    return [tuple(line.split()[3].rsplit(":", 1)) for line in lines]


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    event, end = threading.Event(), time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        event.wait(0.05)
    return condition()


def reached(source: Machine, host: str, ports: list[str]) -> list[str]:
    return json.loads(source.run(sys.executable, "-c", REACHED, host, *ports).stdout)


def test_no_port_of_a_local_run_is_reached_from_another_machine(machines, playing):
    alice, mallory = machines["alice"], machines["mallory"]
    found = listens(alice)
    assert {address for address, _ in found} <= {"127.0.0.1", "[::ffff:127.0.0.1]", "[::1]"}
    ports = [port for _, port in found]
    assert len(ports) > 8
    assert set(reached(alice, "127.0.0.1", ports)) == set(ports)  # they are open, on the machine itself
    assert reached(mallory, alice.address, ports) == []
    open_to_all = [sys.executable, "-c", "import socket; s = socket.create_server(('', 7)); s.accept()"]
    with alice.start(*open_to_all) as server:  # so mallory would reach an open port
        while "7" not in [port for _, port in listens(alice)]:
            pass
        assert reached(mallory, alice.address, ["7"]) == ["7"]
        server.kill()


NOBODY = "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"


def test_another_user_of_the_machine_reads_no_file_and_is_refused_at_every_port(machines, playing):
    alice = machines["alice"]
    token = playing.parent / "token"
    assert oct(int(alice.run("stat", "-c", "%f", str(token)).stdout, 16) & 0o777) == "0o600"
    for what in (playing, playing.parent, token, playing.parent / "fork"):
        done = alice.run(*NOBODY, "ls", str(what), check=False)
        assert (done.returncode, done.stdout) == (2, "") and "Permission denied" in done.stderr
    places = [f"127.0.0.1:{port}" for _, port in listens(alice)]
    asked = json.loads(alice.run(*NOBODY, sys.executable, "-c", ASKS, METHODS, *places).stdout)
    codes = [code for found in asked.values() for code in found]
    assert set(codes) <= {"UNAUTHENTICATED", "UNIMPLEMENTED", "UNAVAILABLE"}  # nobody answers
    # Each of the raylet, the control store, the coordinator and five workers knows one of the methods.
    assert codes.count("UNAUTHENTICATED") >= 2 * 8


def test_a_local_run_has_no_store_at_a_port(machines, playing):
    """The workers meet in a file, which lies in the private folder, and none of them listens."""
    alice = machines["alice"]
    lines = alice.run("ss", "-ltnpH").stdout.splitlines()
    of_ray = [line for line in lines if re.search(r'"(gcs_server|raylet|ray::.*|python.*)"', line)]
    assert len(of_ray) == len(lines)
    stores = alice.run("find", str(playing), "-name", "store").stdout.split()
    assert len(stores) == 1
    assert [line for line in lines if "ray::Worker" in line and "[::ffff:" not in line] == []


def play_until(sign: Path) -> int:
    """What a driver does: play with three workers, no two of them on one machine, until the file `sign` is there."""
    grammar = small("backprop")
    placement = spread(grammar, fuse=[("Nature", "Loss"), ("Dense1", "Dense2")])
    what = assign(grammar, placement=replace(placement, strategy=Strategy.STRICT_SPREAD))
    ray.init(log_to_driver=False)
    with RayExecutor(what, "guarded", deadline=20.0) as run:
        sign.with_suffix(".begun").touch()
        rounds = 0
        while not sign.exists():
            rounds = run.play(50).round
    return rounds


def test_without_the_token_nobody_reaches_a_clusters_workers_coordinator_or_store():
    with nodes("head", "alice", "bob", spare=("mallory",)) as cluster, ThreadPoolExecutor(1) as driver:
        assert isinstance(cluster, SeveralNetworks)
        mallory, members = cluster.machines["mallory"], [cluster.machines[name] for name in ("head", "alice", "bob")]
        sign = cluster.head.home / "sign"
        playing = driver.submit(cluster.call, play_until, sign)
        try:
            assert wait_until(lambda: sign.with_suffix(".begun").exists() or playing.done(), 60.0)
            asked, closed = {}, []
            for machine in members:
                lines = [line.split() for line in machine.run("ss", "-ltnpH").stdout.splitlines()]
                # The coordinator's store, and gloo: they listen on the machine's own address.
                closed += [line for line in lines if line[3].startswith(machine.address) and PLAYERS.search(line[5])]
                ports = reached(mallory, machine.address, [line[3].rpartition(":")[2] for line in lines])
                assert not {line[3].rpartition(":")[2] for line in closed if line in lines} & set(ports)
                places = [f"{machine.address}:{port}" for port in ports]
                asked |= json.loads(mallory.run(sys.executable, "-c", ASKS, METHODS, *places).stdout)
        finally:
            sign.touch()
        assert playing.result(60.0) > 0
    codes = [code for found in asked.values() for code in found]
    assert set(codes) <= {"UNAUTHENTICATED", "UNIMPLEMENTED", "UNAVAILABLE"}
    assert codes.count("UNAUTHENTICATED") >= 2 * 7
    assert len(closed) == 4  # the store, and one socket of each worker
