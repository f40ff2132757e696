"""Process groups: workers that disagree, are missing, die or hang; and nothing left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from antiphon.errors import AntiphonError, DeadlineError, ProtocolError, ShapeError, TransportError
from antiphon.testing.channel import SESSION, Pair as Both, edge, opened, refusal, sample
from antiphon.transport.gloo import GlooIncoming
from antiphon.transport.message import Edge, Phase, Session
from antiphon.transport.process_group import ProcessGroupChannel
from antiphon.transport.rendezvous import Address, StoreServer
from antiphon.transport.route import Site
from antiphon.transport.shared_memory import shared_memory_domain

RANKS = {"Alice": 0, "Bob": 1}
CHILD = """
import sys
from antiphon.transport.process_group import ProcessGroupChannel
from antiphon.transport.route import Site
from antiphon.testing.channel import SESSION, edge, sample
sites = {name: Site("127.0.0.1", memory=sys.argv[3]) for name in ("Alice", "Bob")}
channel = ProcessGroupChannel(SESSION, "Alice", {"Alice": 0, "Bob": 1}, ("127.0.0.1", int(sys.argv[1])), [edge()],
                              "127.0.0.1", run=sys.argv[2], sites=sites)
channel.open()
channel.send(edge(), 0, sample(edge()))
channel.settle()
sys.stdin.readline()
"""


def channel(
    address: Address, me: str, run: str, edges: Sequence[Edge], session: Session = SESSION, memory: str = ""
) -> ProcessGroupChannel:
    sites = {name: Site("127.0.0.1", memory=memory) for name in RANKS}
    return ProcessGroupChannel(session, me, RANKS, address, edges, "127.0.0.1", run=run, sites=sites)


@pytest.fixture(params=["gloo", "shared memory"])
def memory(request: pytest.FixtureRequest) -> str:
    """Where Alice and Bob share memory: nowhere, or on this machine."""
    return shared_memory_domain() if request.param == "shared memory" else ""


def open_errors(*channels: ProcessGroupChannel) -> list[AntiphonError]:
    """Open all at once, close all; what each raised."""
    with ThreadPoolExecutor(len(channels)) as threads:
        errors = [opening.exception() for opening in [threads.submit(each.open) for each in channels]]
    for each in channels:
        each.close()
    return [error for error in errors if isinstance(error, AntiphonError)]


@contextmanager
def alice_elsewhere(address: Address, run: str, memory: str) -> Iterator["subprocess.Popen[str]"]:
    """Alice in a process of her own; she sends round 0, then waits."""
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", CHILD, str(address[1]), run, memory]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, text=True) as alice:
        try:
            yield alice
        finally:
            alice.kill()


def hasten(channel: Any) -> None:  # Any: reaches below the interface, so as not to wait for 20 s
    """Shorten the deadline of a channel's receives, but not what its errors say of it."""
    incoming = channel._incoming[0]
    if isinstance(incoming, GlooIncoming):
        incoming._deadline = incoming._deadline / 100
    else:
        incoming._pair._deadline = 0.2


def test_workers_of_two_grammars_do_not_open(address: Address) -> None:
    other = replace(SESSION, signature="f" * 64)
    errors = open_errors(
        channel(address, "Alice", "grammars", [edge()], other), channel(address, "Bob", "grammars", [edge()])
    )
    assert [type(error) for error in errors] == [ProtocolError, ProtocolError]
    assert str(errors[1]) == (
        "worker 'Bob' refused a foreign message from worker 'Alice' on edge 'Alice.0 -> Bob': "
        "expected signature 0123456789abcdef, generation 2, round 0, query phase, edge 0; "
        "arrived signature ffffffffffffffff, generation 2, round 0, query phase, edge 0. "
        "It belongs to another grammar: launch all workers with the same grammar."
    )


def test_workers_that_disagree_on_a_shape_do_not_open(address: Address) -> None:
    wider = replace(edge(), shape=(5,))
    errors = open_errors(channel(address, "Alice", "shapes", [wider]), channel(address, "Bob", "shapes", [edge()]))
    assert [type(error) for error in errors] == [ShapeError, ShapeError]
    assert str(errors[1]) == (
        "worker 'Bob' and worker 'Alice' disagree on edge 'Alice.0 -> Bob': expected zeroth order float32[4]; "
        "arrived zeroth order float32[5]. Compile one schedule, with one set of sizes, for all workers."
    )


def test_workers_that_disagree_on_their_edges_do_not_open(address: Address) -> None:
    errors = open_errors(
        channel(address, "Alice", "edges", [edge()]), channel(address, "Bob", "edges", [edge(), edge(1)])
    )
    assert [str(error) for error in errors] == [
        "worker 'Alice' and worker 'Bob' disagree on their edges: expected no edge of number 1; arrived edge "
        "'Alice.1 -> Bob' from 'Alice' to 'Bob'. Project all workers from the same schedule.",
        "worker 'Bob' and worker 'Alice' disagree on their edges: expected edge 'Alice.1 -> Bob' (number 1); arrived "
        "no such edge. Project all workers from the same schedule.",
    ]


def test_a_missing_worker_is_named(address: Address) -> None:
    text = (
        "worker 'Bob' waited 0.05 s for 'Alice' to open a channel in generation 2. "
        "See whether all workers were started, or raise the deadline."
    )
    with refusal(DeadlineError, text):
        channel(address, "Bob", "missing", [edge()], replace(SESSION, deadline=0.05)).open()


def test_a_missing_store_is_named() -> None:
    store = StoreServer("127.0.0.1")
    address = store.address
    del store
    text = (
        f"no store answered at 127.0.0.1:{address[1]} within 0.05 s. "
        "Expected the one that the coordinator serves; see whether it lives and whether a firewall is between."
    )
    with refusal(TransportError, text):
        channel(address, "Bob", "store", [edge()], replace(SESSION, deadline=0.05)).open()


def test_a_killed_worker_is_noticed_at_once(address: Address, memory: str) -> None:
    bob = channel(address, "Bob", f"killed {memory}", [edge()], memory=memory)
    with alice_elsewhere(address, f"killed {memory}", memory) as alice:
        bob.open()
        assert torch.equal(bob.receive(edge(), 0), sample(edge()))
        alice.send_signal(signal.SIGKILL)
        with pytest.raises(TransportError) as error:
            bob.receive(edge(), 1)
    bob.close()
    assert str(error.value).startswith("worker 'Bob' lost 'Alice' on edge 'Alice.0 -> Bob' (query phase, round 1): ")
    assert memory or ("Connection" in str(error.value) and "remote worker" not in str(error.value))
    assert str(error.value).endswith(". Restart 'Alice' and open the channels of the next generation.")


def test_a_stopped_worker_is_noticed_at_the_deadline(address: Address, memory: str) -> None:
    bob = channel(address, "Bob", f"stopped {memory}", [edge()], memory=memory)
    with alice_elsewhere(address, f"stopped {memory}", memory) as alice:
        bob.open()
        assert torch.equal(bob.receive(edge(), 0), sample(edge()))
        alice.send_signal(signal.SIGSTOP)
        hasten(bob)
        with pytest.raises(DeadlineError, match="waited 20 s for 'Alice' to send on edge"):
            bob.receive(edge(), 1)
    bob.close()


def test_generations_leave_nothing_behind(address: Address, memory: str) -> None:
    """Thirty groups in one process, one after the other: no more files, threads and memory than after the first."""
    used = []
    for generation in range(30):
        session = replace(SESSION, generation=generation)
        ends = [channel(address, me, f"leaks {memory}", [edge()], session, memory) for me in RANKS]
        with opened(Both(*ends, forge=lambda edge, tag, value: None, kill=lambda: None)):
            ends[0].send(edge(), 0, sample(edge()))
            assert torch.equal(ends[1].receive(edge(), 0), sample(edge()))
        maps = Path("/proc/self/maps").read_text().count("memfd:antiphon")
        used.append(len(os.listdir("/proc/self/fd")) + len(os.listdir("/proc/self/task")) + maps)
    assert max(used) < used[0] + 5  # a thread that has ended may still be listed; thirty are not


def test_a_ring_of_eight_opens_in_a_moment(address: Address) -> None:
    """Only the connections that edges need are made."""
    names = [f"player {number}" for number in range(8)]
    edges = [
        Edge(number, name, name, names[(number + 1) % 8], Phase.QUERY, "zeroth", torch.float32, (3,))
        for number, name in enumerate(names)
    ]
    ranks = {name: rank for rank, name in enumerate(names)}
    ring = [ProcessGroupChannel(SESSION, name, ranks, address, edges, "127.0.0.1", run="ring") for name in names]

    def play(rank: int) -> torch.Tensor:
        ring[rank].open()
        ring[rank].send(edges[rank], 0, torch.full((3,), float(rank)))
        return ring[rank].receive(edges[rank - 1], 0)

    with ThreadPoolExecutor(8) as threads:
        arrived = list(threads.map(play, range(8)))
    for each in ring:
        each.settle()
    assert [value[0].item() for value in arrived] == [7, 0, 1, 2, 3, 4, 5, 6]
    for each in ring:
        each.close()
