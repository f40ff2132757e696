"""Mailboxes and queues: bounded, strict about edges, and woken when a peer dies."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from antiphon.errors import CodecError, ProtocolError, ShapeError, WorkerDied
from antiphon.testing.channel import SESSION, edge, sample
from antiphon.transport.bounded_queue import BoundedQueue
from antiphon.transport.codec import encode
from antiphon.transport.message import Header
from antiphon.transport.object_store import Mailbox, ObjectStoreChannel


def bob(mailbox: Mailbox) -> ObjectStoreChannel:
    channel = ObjectStoreChannel(SESSION, "Bob", lambda peer, number, frame: None, mailbox, [edge()])
    channel.open()
    return channel


def test_an_unknown_edge_is_refused() -> None:
    with pytest.raises(ProtocolError) as refusal:
        Mailbox("Bob", [edge(1), edge(4)]).put(7, b"")
    assert str(refusal.value) == (
        "the mailbox of worker 'Bob' has no edge 7; expected one of [1, 4]. Project all workers from the same schedule."
    )


def test_an_overflow_is_refused() -> None:
    mailbox = Mailbox("Bob", [edge()])
    for _ in range(3):
        mailbox.put(0, b"")
    with pytest.raises(ProtocolError) as refusal:
        mailbox.put(0, b"")
    assert str(refusal.value) == (
        "the mailbox of worker 'Bob' is full on edge 0: expected at most 2 messages under way; "
        "arrived one more than 3. Let the sender wait for its receipts."
    )


def test_a_truncated_frame_names_both_sides() -> None:
    mailbox = Mailbox("Bob", [edge()])
    frame = encode(Header.of(SESSION, edge(), 5), sample(edge()))
    mailbox.put(0, frame[:-1])
    with pytest.raises(CodecError) as refusal:
        bob(mailbox).receive(edge(), 5)
    assert str(refusal.value) == (
        "worker 'Bob' cannot read what 'Alice' sent on edge 'Alice.0 -> Bob' (query phase, round 5): a message does "
        f"not parse: expected {len(frame)} bytes for float32[4]; arrived {len(frame) - 1} bytes. "
        "The sender is no antiphon worker of this version, or the bytes were damaged on the way."
    )


def test_a_frame_of_another_type_is_refused() -> None:
    mailbox = Mailbox("Bob", [edge()])
    wider = replace(edge(), shape=(5,))
    mailbox.put(0, encode(Header.of(SESSION, wider, 5), sample(wider), checksum=True))
    with pytest.raises(ShapeError) as refusal:
        bob(mailbox).receive(edge(), 5)
    assert str(refusal.value) == (
        "worker 'Bob' and worker 'Alice' disagree on edge 'Alice.0 -> Bob': expected zeroth order float32[4]; "
        "arrived zeroth order float32[5]. Compile one schedule, with one set of sizes, for all workers."
    )


def test_a_failed_mailbox_wakes_who_waits_and_keeps_what_arrived() -> None:
    mailbox = Mailbox("Bob", [edge(0), edge(1)])
    mailbox.put(0, b"before")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(mailbox.take, edge(1), 20.0)
        mailbox.fail(WorkerDied("Alice died", worker="Alice", round=3))
        with pytest.raises(WorkerDied, match="Alice died"):
            waiting.result()
    assert mailbox.take(edge(0), 0.0) == b"before"
    with pytest.raises(WorkerDied, match="Alice died"):
        mailbox.take(edge(0), 20.0)


def test_a_lane_is_bounded_and_in_order() -> None:
    queue: BoundedQueue[int] = BoundedQueue(2)
    assert [queue.offer(item) for item in range(3)] == [True, True, False]
    assert [queue.take(0.0), queue.take(0.0)] == [0, 1]
    with pytest.raises(TimeoutError):
        queue.take(0.0)
