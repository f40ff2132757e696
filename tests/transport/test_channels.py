"""Every channel takes the same conformance suite."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from antiphon.testing.channel import LAWS, MakePair, Pair, same_bits
from antiphon.transport.channel import Channel, gone
from antiphon.transport.codec import Frame, encode, pack_tag
from antiphon.transport.local import Exchange, LocalChannel
from antiphon.transport.message import VERSION, Edge, Header, Session, Tag
from antiphon.transport.object_store import Mailbox, ObjectStoreChannel
from antiphon.transport.process_group import ProcessGroupChannel
from antiphon.transport.rendezvous import Address
from antiphon.transport.route import Site
from antiphon.transport.shared_memory import shared_memory_domain
from rigs.nccl import StandIn

_runs = itertools.count()


def local_pair(session: Session, edges: Sequence[Edge]) -> Pair:
    exchange = Exchange()
    source, target = (LocalChannel(session, me, exchange, edges) for me in ("Alice", "Bob"))

    def forge(edge: Edge, tag: Tag, value: Tensor) -> None:
        road = exchange.join(session, [edge])[edge.number]
        buffer = road.free.take(1.0)
        assert road.sent.offer((tag, buffer.copy_(value)))

    return Pair(source, target, forge, source.close)


def object_store_pair(session: Session, edges: Sequence[Edge]) -> Pair:
    mailboxes = {me: Mailbox(me, edges) for me in ("Alice", "Bob")}

    def post(peer: str, number: int, frame: Frame) -> None:
        mailboxes[peer].put(number, bytes(frame))  # as Ray delivers it: read-only, at any address

    def forge(edge: Edge, tag: Tag, value: Tensor) -> None:
        mailboxes["Bob"].put(
            edge.number, encode(Header(VERSION, tag, edge.order, edge.dtype, edge.shape), value, checksum=True)
        )

    def kill() -> None:
        mailboxes["Bob"].fail(gone("Bob", edges[0], 1, "its actor died"))

    source, target = (ObjectStoreChannel(session, me, post, mailboxes[me], edges) for me in mailboxes)
    return Pair(source, target, forge, kill)


def process_group_pairs(address: Address, **placed: Any) -> MakePair:  # Any: arguments of the channel
    def make_pair(session: Session, edges: Sequence[Edge]) -> Pair:
        ranks, run = {"Alice": 0, "Bob": 1}, f"pair {next(_runs)}"
        source, target = (
            ProcessGroupChannel(session, me, ranks, address, edges, "127.0.0.1", run=run, **placed) for me in ranks
        )

        def forge(edge: Edge, tag: Tag, value: Tensor) -> None:
            outgoing: Any = source._outgoing[edge.number]  # Any: reaches below the interface, to lie
            buffer = outgoing._buffer
            buffer.value.copy_(value)
            buffer.tag[:] = pack_tag(tag)
            outgoing._work = outgoing._post(buffer.wire, 1, edge.number + 1)

        return Pair(source, target, forge, source.close)

    return make_pair


def shared_memory_pairs(address: Address) -> MakePair:
    """As workers of one machine talk."""

    def make_pair(session: Session, edges: Sequence[Edge]) -> Pair:
        sites = {me: Site("127.0.0.1", memory=shared_memory_domain()) for me in ("Alice", "Bob")}
        made = process_group_pairs(address, sites=sites)(session, edges)

        def forge(edge: Edge, tag: Tag, value: Tensor) -> None:
            source: Any = made.source  # Any: reaches below the interface, to lie
            outgoing = source._outgoing[edge.number]
            slot = outgoing.free()
            slot.value.copy_(value)
            slot.tag[:] = pack_tag(tag)
            outgoing._pair.signal(outgoing._arrived)

        return replace(made, forge=forge)

    return make_pair


def staged_pairs(address: Address) -> MakePair:
    """As workers that share a device talk; the device is the CPU here."""
    shared = {me: Site("127.0.0.1", "cuda", "GPU-1") for me in ("Alice", "Bob")}
    return process_group_pairs(address, sites=shared)


def mixed_pairs(address: Address) -> MakePair:
    """As a worker on the CPU talks to one on a device."""
    return process_group_pairs(address, sites={"Bob": Site("127.0.0.1", "cuda", "GPU-1")})


def nccl_pairs(address: Address) -> MakePair:
    """As workers on two devices talk; the devices are the CPU here, and another group stands in for NCCL's."""

    def make_pair(session: Session, edges: Sequence[Edge]) -> Pair:
        sites = {me: Site("127.0.0.1", "cuda", f"GPU-{me}") for me in ("Alice", "Bob")}
        made = process_group_pairs(address, sites=sites, make=StandIn().make)(session, edges)

        def forge(edge: Edge, tag: Tag, value: Tensor) -> None:
            source: Any = made.source  # Any: reaches below the interface, to lie
            outgoing = source._outgoing[edge.number]
            buffer = outgoing._free
            buffer.value.copy_(value)
            buffer.mark(tag)
            outgoing.post(buffer, tag.round)

        return replace(made, forge=forge, ordered=True)

    return make_pair


KINDS = {
    "process-group": process_group_pairs,
    "shared-memory": shared_memory_pairs,
    "staged": staged_pairs,
    "mixed": mixed_pairs,
    "nccl": nccl_pairs,
}


@pytest.fixture(params=["local", "object-store", *KINDS])
def make_pair(request: pytest.FixtureRequest, address: Address) -> MakePair:
    if request.param in KINDS:
        return KINDS[request.param](address)
    return {"local": local_pair, "object-store": object_store_pair}[request.param]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_channel(law: Callable[[MakePair], None], make_pair: MakePair) -> None:
    law(make_pair)


def test_what_is_made_is_a_channel(make_pair: MakePair) -> None:
    pair = make_pair(Session("0" * 64, 0, 1.0), [])
    assert isinstance(pair.source, Channel) and isinstance(pair.target, Channel)


def test_the_suite_compares_bits_and_not_numbers():
    nan, zero = torch.tensor(math.nan), torch.zeros(2)
    assert same_bits(nan, nan.clone()) and not same_bits(zero, -zero)
