"""Shared memory: strangers are ignored, limits are named, waits end, and workers apart fall back to gloo."""

import errno
import itertools
import os
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from antiphon.errors import DeadlineError, TransportError
from antiphon.testing.channel import SESSION, Pair as Both, edge, opened, same_bits, sample
from antiphon.transport.message import Edge
from antiphon.transport.process_group import ProcessGroupChannel
from antiphon.transport.rendezvous import Address
from antiphon.transport.route import Route, Site, carrier, route_of_group
from antiphon.transport.shared_memory import SharedMemoryIncoming, shared_memory_domain
from antiphon.transport.shared_pair import SLOTS

HERE = shared_memory_domain()
RANKS = {"Alice": 0, "Bob": 1}
_runs = itertools.count()


def both(address: Address, edges: Sequence[Edge], deadline: float = 20.0) -> Both:
    sites, run = {name: Site("127.0.0.1", memory=HERE) for name in RANKS}, f"memory {next(_runs)}"
    session = replace(SESSION, deadline=deadline)
    ends = [ProcessGroupChannel(session, me, RANKS, address, edges, "127.0.0.1", run, sites=sites) for me in RANKS]
    return Both(ends[0], ends[1], forge=lambda edge, tag, value: None, kill=lambda: None)


def test_workers_share_memory_if_they_are_in_one_domain() -> None:
    one, other, apart = Site("10.0.0.1", memory="a"), Site("10.0.0.2", memory="a"), Site("10.0.0.1", memory="b")
    assert HERE
    assert carrier(one, other) is Route.MEMORY
    assert carrier(one, apart) is carrier(Site("10.0.0.1"), Site("10.0.0.1")) is Route.GLOO
    assert route_of_group([one, other, one]) is Route.MEMORY and route_of_group([one, other, apart]) is Route.GLOO


def test_a_worker_shares_memory_with_one_peer_and_talks_over_gloo_with_another(address: Address) -> None:
    sites = {"Alice": Site("127.0.0.1", memory=HERE), "Bob": Site("127.0.0.1", memory=HERE), "Carol": Site("127.0.0.1")}
    ranks = {name: rank for rank, name in enumerate(sites)}
    edges = [
        replace(edge(number), source=one, target=two)
        for number, (one, two) in enumerate(itertools.permutations(sites, 2))
    ]
    ends = {
        me: ProcessGroupChannel(SESSION, me, ranks, address, edges, "127.0.0.1", "mixed domains", sites=sites)
        for me in sites
    }

    def play(me: str) -> None:
        ends[me].open()
        for each in edges:
            if each.source == me:
                ends[me].send(each, 0, sample(each, each.number))
        for each in edges:
            if each.target == me:
                assert same_bits(ends[me].receive(each, 0), sample(each, each.number)), each
        ends[me].settle()

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(play, sites))
    shared = [number for number, half in ends["Bob"]._incoming.items() if isinstance(half, SharedMemoryIncoming)]
    assert [edges[number].source for number in shared] == ["Alice"]
    for end in ends.values():
        end.close()


def test_a_value_is_read_in_place_and_many_edges_share_two_pipes(address: Address) -> None:
    """What arrives lies in one of the edge's buffers; 400 edges cost no more descriptors than one."""
    before = len(os.listdir("/proc/self/fd"))
    edges = [edge(number) for number in range(400)]
    with opened(both(address, edges)) as pair:
        assert len(os.listdir("/proc/self/fd")) - before < 20
        places = set()
        for round in range(2 * SLOTS):
            for each in edges:
                pair.source.send(each, round, sample(each))
            places |= {pair.target.receive(each, round).data_ptr() for each in edges}
        assert len(places) == SLOTS * len(edges)


def test_strangers_who_connect_are_ignored(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """They say nothing, or something else, or pass no memory; Bob still finds Alice."""
    connect = socket.socket.connect

    def after_strangers(peer: socket.socket, name: bytes) -> None:
        for hello in (b"", b"x", b"\xff" * 900):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
                connect(stranger, name)
                if hello:
                    stranger.send(hello)
        connect(peer, name)

    monkeypatch.setattr(socket.socket, "connect", after_strangers)
    with opened(both(address, [edge()])) as pair:
        pair.source.send(edge(), 0, sample(edge()))
        assert same_bits(pair.target.receive(edge(), 0), sample(edge()))


def open_errors(pair: Both) -> list[BaseException | None]:
    with ThreadPoolExecutor(2) as threads:
        opening = [threads.submit(each.open) for each in (pair.source, pair.target)]
        return [each.exception() for each in opening]


def test_a_peer_that_never_connects_is_named(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(peer: socket.socket, name: bytes) -> None:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")

    monkeypatch.setattr(socket.socket, "connect", refused)
    alice, bob = open_errors(both(address, [edge()], deadline=2.0))
    assert isinstance(alice, TransportError) and "'Bob'" in str(alice) and "refused" in str(alice)
    assert isinstance(bob, DeadlineError) and "'Alice'" in str(bob) and "2 s" in str(bob)


def test_memory_that_is_not_there_is_named_before_a_round(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    alice, _ = open_errors(both(address, [edge(shape=(1000,))], deadline=2.0))
    assert isinstance(alice, TransportError)
    assert all(part in str(alice) for part in ("'Alice'", "'Bob'", "No space left", "12288 bytes", "ulimit -n")), alice


def test_closing_wakes_the_thread_that_waits(address: Address) -> None:
    with opened(both(address, [edge()])) as pair, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(pair.target.receive, edge(), 0)
        time.sleep(0.1)
        pair.target.close()
        assert isinstance(waiting.exception(timeout=5), TransportError)
