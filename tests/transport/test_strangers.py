"""Strangers at the store and at the workers' ports: refused by name, and they leave nothing behind."""

import contextlib
import os
import select
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest
import torch
from hypothesis import given, strategies as some

from antiphon.errors import AntiphonError, ProtocolError
from antiphon.testing.channel import SESSION, Pair as Both, edge, opened, refusal, same_bits, sample
from antiphon.transport.authenticated_store import VALUE_LIMIT, AuthenticatedStore, code
from antiphon.transport.c10d import HashStore
from antiphon.transport.gloo import GlooLink
from antiphon.transport.message import Phase, Reduction
from antiphon.transport.process_group import ProcessGroupChannel
from antiphon.transport.rendezvous import Address, StoreServer, _read, scope, store_client
from antiphon.transport.route import Site
from antiphon.transport.shared_memory import shared_memory_domain

HASTY = replace(SESSION, secret=b"known to the run alone", deadline=1.5)
RUN = replace(HASTY, deadline=20.0)
"""Two who must meet, on any machine; `HASTY` is for those who wait in vain."""
NAMES = ("Alice", "Bob")
TOTAL = Reduction(7, "total", NAMES, Phase.RESPONSE, "first", torch.float32, (3,))


def two(address: Address, run: str, memory: str = "", session=RUN) -> list[ProcessGroupChannel]:
    sites, ranks = {name: Site("127.0.0.1", memory=memory) for name in NAMES}, {"Alice": 0, "Bob": 1}
    placed: dict[str, Any] = {"run": run, "reductions": [TOTAL], "sites": sites}  # Any: arguments of the channel
    return [ProcessGroupChannel(session, name, ranks, address, [edge()], "127.0.0.1", **placed) for name in NAMES]


def outcomes(channels: Sequence[ProcessGroupChannel]) -> list[BaseException | None]:
    with ThreadPoolExecutor(len(channels)) as threads:
        found = [each.exception() for each in [threads.submit(channel.open) for channel in channels]]
    for each in channels:
        each.close()
    return found


POISONS = {
    "nothing": lambda key, value: b"",
    "noise": lambda key, value: os.urandom(300),
    "another's": lambda key, value: code(b"another run", key, value) + value,
    "of another key": lambda key, value: code(RUN.secret, f"{key}x", value) + value,
    "one bit": lambda key, value: (good := code(RUN.secret, key, value) + value)[:-1] + bytes([good[-1] ^ 1]),
    "too much": lambda key, value: code(RUN.secret, key, (long := bytes(VALUE_LIMIT + 1))) + long,
}


@pytest.mark.parametrize("poison", POISONS)
def test_a_value_without_the_runs_code_is_refused_by_its_key(poison):
    inner: Any = HashStore()  # Any: torch's stubs forbid bytes, which it takes
    key = "run/2/edges/Alice"
    inner.set(key, POISONS[poison](key, b"what Alice says"))
    store = AuthenticatedStore(inner, RUN.secret, "Bob")
    for read in (store.get, lambda key: store.multi_get([key])):
        with pytest.raises(ProtocolError) as caught:
            read(key)
        assert str(caught.value).startswith(f"worker 'Bob' refused what the store holds for 'Alice' (key {key!r}): ")


@pytest.mark.slow
@pytest.mark.parametrize("memory", [pytest.param("", id="gloo"), pytest.param("here", id="shared memory")])
def test_every_value_that_workers_publish_is_refused_if_a_stranger_has_written_it(address, memory, monkeypatch):
    """Also the addresses that gloo publishes."""
    domain = shared_memory_domain() if memory else ""
    keys: list[str] = []
    write = AuthenticatedStore.set

    def noted(store: AuthenticatedStore, key: str, value: bytes) -> None:
        keys.append(key)
        write(store, key, value)

    monkeypatch.setattr(AuthenticatedStore, "set", noted)
    assert outcomes(two(address, f"own {memory}", domain)) == [None, None]
    assert len(keys) == len(set(keys)) == (6 if memory else 10)
    for number, chosen in enumerate(keys):
        key = chosen.replace(f"own {memory}", other := f"{number} {memory}")

        def poisoned(store: AuthenticatedStore, at: str, value: bytes, key: str = key) -> None:
            inner: Any = store._inner  # Any: torch's stubs forbid bytes, which it takes
            inner.set(at, os.urandom(300)) if at == key else write(store, at, value)

        monkeypatch.setattr(AuthenticatedStore, "set", poisoned)
        found = outcomes(two(address, other, domain, HASTY))
        assert any(isinstance(each, ProtocolError) and f"(key {key!r})" in str(each) for each in found), (key, found)
        assert all(each is None or isinstance(each, AntiphonError) for each in found), (key, found)


def test_a_worker_with_another_secret_is_refused(address: Address):
    ours, _ = two(address, "secrets")
    _, theirs = two(address, "secrets", session=replace(RUN, secret=b"guessed"))
    for found, peer in zip(outcomes([ours, theirs]), reversed(NAMES), strict=True):
        assert isinstance(found, ProtocolError) and f"refused what the store holds for {peer!r}" in str(found)


def test_who_connects_first_and_does_not_know_the_secret_is_refused(address: Address):
    """As a stranger who is quicker than the worker whose connection it is."""

    store = scope(store_client(address, 1.0), "quick")
    secrets = (RUN.secret, b"guessed")
    links = [
        GlooLink(replace(RUN, secret=secret), name, rank, 2, store, "127.0.0.1", None)
        for rank, (name, secret) in enumerate(zip(NAMES, secrets, strict=True))
    ]
    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(link.greet, {NAMES[1 - rank]: 1 - rank}) for rank, link in enumerate(links)]
    assert "'Alice' refused a connection of a process that says it is worker 'Bob'" in str(both[0].exception())
    assert isinstance(both[0].exception(), ProtocolError)


PLAIN = some.none() | some.integers(-9, 9) | some.floats() | some.text(max_size=3) | some.binary(max_size=3)
PUBLISHED = some.recursive(
    PLAIN,
    lambda part: some.lists(part, max_size=5) | some.dictionaries(some.text("019-", max_size=2), part, max_size=3),
)


@given(PUBLISHED.map(msgpack.packb) | some.binary(max_size=60))
def test_edges_that_are_published_with_other_types_are_refused(published: bytes):
    try:
        read = _read("Bob", "Alice", published)
    except ProtocolError as error:
        assert str(error).startswith("worker 'Bob' cannot read the edges that worker 'Alice' published: ")
    else:
        assert read == {}


def test_edges_nested_beyond_measure_are_refused():
    with refusal(ProtocolError, "worker 'Bob' cannot read the edges that worker 'Alice' published: ..."):
        _read("Bob", "Alice", b"\x91" * 100_000)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def listening() -> set[int]:
    """Ports at which this process listens, of IPv4."""
    with open("/proc/self/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    own = {
        os.readlink(f"/proc/self/fd/{each}")
        for each in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{each}")
    }
    return {int(row[1].partition(":")[2], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own}


def test_garbage_at_the_ports_of_open_workers_leaves_no_descriptor(address: Address):
    before = listening()
    alice, bob = two(address, "garbage", session=RUN)
    with opened(Both(alice, bob, lambda *_: None, lambda: None)):
        ports, count = listening() - before, descriptors()
        assert len(ports) == 4  # of each worker, one for messages and one for sums
        with contextlib.ExitStack() as scope:
            strangers = [scope.enter_context(socket.socket()) for _ in range(36)]
            for stranger, port in zip(strangers, [*ports] * 9, strict=True):
                stranger.setblocking(False)
                stranger.connect_ex(("127.0.0.1", port))
            assert select.select([], strangers, [], 0.3)[1] == []
            assert descriptors() == count + 36
        for round in range(3):
            alice.send(edge(), round, sample(edge()))
            assert same_bits(bob.receive(edge(), round), sample(edge()))


def test_a_store_refuses_connections_when_all_workers_are_connected():
    store = StoreServer("127.0.0.1")
    kept = store_client(store.address, 5.0)
    store.refuse()
    kept.set("still", "there")
    assert kept.get("still") == b"there"
    with socket.socket() as stranger, pytest.raises(TimeoutError):
        stranger.settimeout(0.3)
        stranger.connect(store.address)


def test_workers_of_one_machine_meet_in_a_file(tmp_path: Path):
    store = StoreServer("127.0.0.1", tmp_path)
    assert outcomes(two(store.address, "file", session=RUN)) == [None, None]
    assert [each.name for each in tmp_path.iterdir()] == ["store"]
