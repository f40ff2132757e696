"""Checksums: of a message that carries one, no changed bit is accepted, on any channel."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, strategies as some

from antiphon.errors import CodecError
from antiphon.testing.channel import SESSION, Pair, edge, opened, sample
from antiphon.transport import gloo, link, shared_memory
from antiphon.transport.checksum import checked, crc
from antiphon.transport.codec import decode, encode
from antiphon.transport.message import Header
from antiphon.transport.process_group import ProcessGroupChannel
from antiphon.transport.rendezvous import Address
from antiphon.transport.route import Site
from antiphon.transport.shared_memory import shared_memory_domain

_runs = itertools.count()  # the tests share a store, so each run has a name of its own
ONE = edge(5, (6,))
FRAME = bytes(encode(Header.of(SESSION, ONE, 3), sample(ONE), checksum=True))


def test_the_checksum_is_the_one_of_its_name():
    assert crc(b"123456789") == crc(b"1234", b"56789") == 0xE3069283  # RFC 3720, appendix B.4
    assert crc(bytes(32)) == 0x8A9136AA


@pytest.mark.parametrize(
    ("choice", "one_machine", "between"),
    [(True, True, True), (False, False, False), ("between-machines", False, True)],
)
def test_which_messages_have_one_is_chosen(choice, one_machine, between):
    session = replace(SESSION, checksum=choice)
    assert (checked(session, True), checked(session, False)) == (one_machine, between)


def test_no_flipped_bit_of_a_frame_is_accepted():
    assert torch.equal(decode(FRAME, checksum=True)[1], sample(ONE))
    for bit in range(8 * len(FRAME)):
        changed = bytearray(FRAME)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CodecError):
            decode(changed, checksum=True)


@given(some.lists(some.tuples(some.integers(0, len(FRAME) - 1), some.integers(0, 255)), max_size=40))
def test_no_changed_frame_is_accepted(changes):
    changed = bytearray(FRAME)
    for place, byte in changes:
        changed[place] = byte
    if changed != FRAME:
        with pytest.raises(CodecError):
            decode(changed, checksum=True)


def test_a_frame_without_a_checksum_is_refused_where_one_is_due_and_the_other_way_round():
    with pytest.raises(CodecError, match="expected the checksum 00000000 of these bytes"):
        decode(FRAME)
    with pytest.raises(CodecError, match="arrived 00000000"):
        decode(bytes(encode(Header.of(SESSION, ONE, 3), sample(ONE))), checksum=True)


def process_group(address: Address, memory: str, checksum: Any) -> Pair:
    sites, ranks = {name: Site("127.0.0.1", memory=memory) for name in ("Alice", "Bob")}, {"Alice": 0, "Bob": 1}
    session, run = replace(SESSION, checksum=checksum), f"checksums {next(_runs)}"
    settings = ranks, address, [ONE], "127.0.0.1", run
    alice, bob = (ProcessGroupChannel(session, me, *settings, sites=sites) for me in ranks)
    return Pair(alice, bob, lambda *_: None, lambda: None)


@pytest.mark.parametrize(("memory", "module"), [("", gloo), (shared_memory_domain(), shared_memory)])
def test_no_flipped_bit_of_a_value_is_accepted(address: Address, memory: str, module: Any, monkeypatch):
    """Any: a module. The bits flip after the sender has computed the checksum."""
    bits = range(8 * ONE.bytes)
    flipping = iter(bits)

    def accident(covered: memoryview) -> int:
        own, bit = crc(covered), next(flipping)
        covered[bit // 8] ^= 1 << bit % 8
        return own

    monkeypatch.setattr(module, "crc", accident)
    with opened(process_group(address, memory, True)) as pair:
        for bit in bits:
            pair.source.send(ONE, bit, sample(ONE))
            with pytest.raises(CodecError) as caught:
                pair.target.receive(ONE, bit)
            beginning = (
                f"'Bob' refused a message from worker 'Alice' on edge 'Alice.5 -> Bob' (query phase, round {bit})"
            )
            assert beginning in str(caught.value)


@pytest.mark.parametrize(("memory", "checksum"), [("", False), (shared_memory_domain(), "between-machines")])
def test_without_a_checksum_nothing_is_computed(address: Address, memory: str, checksum: Any, monkeypatch):
    def unexpected(*_: memoryview) -> int:
        raise AssertionError("a checksum was computed")

    for module in (gloo, shared_memory, link):
        monkeypatch.setattr(module, "crc", unexpected)
    with opened(process_group(address, memory, checksum)) as pair:
        pair.source.send(ONE, 0, sample(ONE))
        assert torch.equal(pair.target.receive(ONE, 0), sample(ONE))


def test_workers_that_choose_otherwise_refuse_each_other(address: Address):
    pair = process_group(address, "", True)
    target: Any = pair.target  # Any: reaches below the interface
    target._session = replace(target._session, checksum=False)
    with opened(pair) as mixed:
        mixed.source.send(ONE, 0, sample(ONE))
        with pytest.raises(CodecError, match="expected the checksum 00000000 of its bytes"):
            mixed.target.receive(ONE, 0)
