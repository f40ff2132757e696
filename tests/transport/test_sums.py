"""Sums over replicas: on every channel the same bits for all, and only of terms of one round."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeAlias

import pytest
import torch
from torch import Tensor

from antiphon.errors import DeadlineError, ProtocolError, ShapeError, TransportError
from antiphon.testing.channel import SESSION, refusal, same_bits
from antiphon.transport.channel import Channel
from antiphon.transport.codec import Frame
from antiphon.transport.local import Exchange, LocalChannel
from antiphon.transport.message import Edge, Phase, Reduction, Session
from antiphon.transport.object_store import Mailbox, ObjectStoreChannel
from antiphon.transport.process_group import ProcessGroupChannel
from antiphon.transport.rendezvous import Address
from antiphon.transport.route import Site
from antiphon.transport.shared_memory import shared_memory_domain
from rigs.nccl import StandIn

_runs = itertools.count()
NAMES = ("Ann", "Ben", "Cas")
Make: TypeAlias = Callable[[Session, Sequence[Reduction]], list[Channel]]


def reduction(number: int = 0, shape: tuple[int, ...] = (5,), dtype: torch.dtype = torch.float32) -> Reduction:
    return Reduction(number, f"sum {number}", NAMES, Phase.RESPONSE, "first", dtype, shape)


def term(each: Reduction, worker: int, round: int = 0) -> Tensor:
    return torch.randn(each.shape, generator=torch.Generator().manual_seed(10 * round + worker)).to(each.dtype)


def edges_of(sums: Sequence[Reduction]) -> list[Edge]:
    return list({edge.number: edge for each in sums for me in NAMES for edge in each.edges_of(me)}.values())


def local(session: Session, sums: Sequence[Reduction]) -> list[Channel]:
    exchange, edges = Exchange(), edges_of(sums)
    return [LocalChannel(session, me, exchange, edges) for me in NAMES]


def object_store(session: Session, sums: Sequence[Reduction]) -> list[Channel]:
    edges = edges_of(sums)
    mailboxes = {me: Mailbox(me, edges) for me in NAMES}

    def post(peer: str, number: int, frame: Frame) -> None:
        mailboxes[peer].put(number, bytes(frame))

    return [ObjectStoreChannel(session, me, post, mailboxes[me], edges) for me in NAMES]


def process_group(address: Address, **placed: Any) -> Make:  # Any: arguments of the channel
    def make(session: Session, sums: Sequence[Reduction]) -> list[Channel]:
        ranks, run = {me: rank for rank, me in enumerate(NAMES)}, f"sums {next(_runs)}"
        return [
            ProcessGroupChannel(session, me, ranks, address, [], "127.0.0.1", run=run, reductions=sums, **placed)
            for me in NAMES
        ]

    return make


def staged(address: Address) -> Make:
    """Two of three replicas share a device; the devices are the CPU here."""
    sites = {me: Site("127.0.0.1", "cuda", gpu) for me, gpu in zip(NAMES, ("GPU-1", "GPU-2", "GPU-1"), strict=True)}
    return process_group(address, sites=sites)


def shared_memory(address: Address) -> Make:
    """Three replicas of one machine."""
    return process_group(address, sites={me: Site("127.0.0.1", memory=shared_memory_domain()) for me in NAMES})


def nccl(address: Address) -> Make:
    """Three replicas on three devices, and another group in NCCL's place."""
    sites = {me: Site("127.0.0.1", "cuda", f"GPU-{me}") for me in NAMES}
    return process_group(address, sites=sites, make=StandIn().make)


KINDS = {"process-group": process_group, "shared-memory": shared_memory, "staged": staged, "nccl": nccl}


@pytest.fixture(params=["local", "object-store", *KINDS])
def make(request: pytest.FixtureRequest, address: Address) -> Make:
    if request.param in KINDS:
        return KINDS[request.param](address)
    return {"local": local, "object-store": object_store}[request.param]


@contextmanager
def opened(channels: list[Channel]) -> Iterator[list[Channel]]:
    try:
        with ThreadPoolExecutor(len(channels)) as threads:
            list(threads.map(lambda channel: channel.open(), channels))
        yield channels
    finally:
        for channel in channels:
            channel.close()


def collected(channels: list[Channel], each: Reduction, round: int = 0) -> list[Tensor]:
    for worker, channel in enumerate(channels):
        channel.contribute(each, round, term(each, worker, round))
    return [channel.collect(each, round) for channel in channels]


def test_everybody_gets_the_same_bits_of_the_sum(make: Make) -> None:
    sums = [reduction(0), reduction(9, (3, 2), torch.float64), reduction(18, (65,), torch.bfloat16)]
    with opened(make(SESSION, sums)) as channels:
        for round in range(3):
            for each in sums:
                first, *others = collected(channels, each, round)
                terms = [term(each, worker, round).double() for worker in range(3)]
                assert first.shape == each.shape
                assert all(same_bits(first, other) for other in others)
                tolerance = 0.05 if each.dtype is torch.bfloat16 else 1e-6
                assert torch.allclose(first.double(), torch.stack(terms).sum(0), atol=tolerance)


def test_several_sums_are_under_way_at_once(make: Make) -> None:
    sums = [reduction(0), reduction(9)]
    with opened(make(SESSION, sums)) as channels:
        for each in sums:
            for worker, channel in enumerate(channels):
                channel.contribute(each, 0, term(each, worker))
        found = [[channel.collect(each, 0).clone() for each in sums] for channel in channels]
        assert all(same_bits(one, other) for one, other in zip(found[0], found[2], strict=True))


def test_a_sum_stays_what_it_is_until_the_next_is_collected(make: Make) -> None:
    each = reduction()
    with opened(make(SESSION, [each])) as channels:
        kept = collected(channels, each, 0)
        copies = [sum.clone() for sum in kept]
        for worker, channel in enumerate(channels):
            channel.contribute(each, 1, term(each, worker, 1))
        assert all(same_bits(one, other) for one, other in zip(kept, copies, strict=True))
        for channel in channels:
            channel.collect(each, 1)


def test_a_term_of_another_type_is_refused(make: Make) -> None:
    each = reduction()
    with opened(make(SESSION, [each])) as channels, pytest.raises(ShapeError, match=r"'Ann' was to (contribute|send)"):
        channels[0].contribute(each, 0, torch.zeros(4))


def test_a_sum_of_terms_of_different_rounds_is_refused(make: Make) -> None:
    each = reduction()
    with opened(make(SESSION, [each])) as channels:
        for channel, round in zip(channels, (3, 3, 4), strict=True):
            channel.contribute(each, round, torch.zeros(5))
        with pytest.raises(ProtocolError, match="restore all workers from the same checkpoint"):
            channels[0].collect(each, 3)


def test_who_waits_in_vain_is_told_for_whom(make: Make) -> None:
    each = reduction()
    with opened(make(replace(SESSION, deadline=2.0), [each])) as channels:
        channels[0].contribute(each, 0, term(each, 0))
        channels[1].contribute(each, 0, term(each, 1))
        with pytest.raises((DeadlineError, TransportError), match="Cas"):
            channels[0].collect(each, 0)


def test_the_stamp_of_an_all_reduce_tells_the_terms(address: Address) -> None:
    each = reduction()
    with opened(process_group(address)(SESSION, [each])) as channels:
        for channel, round in zip(channels, (3, 3, 4), strict=True):
            channel.contribute(each, round, torch.zeros(5))
        text = (
            "worker 'Ben' refused the sum 'sum 0': expected 3 terms of round 3; arrived 3 terms whose rounds sum to "
            "10. A worker lost or skipped a round: restore all workers from the same checkpoint."
        )
        with refusal(ProtocolError, text):
            channels[1].collect(each, 3)


def test_a_sum_without_the_own_term_and_one_that_is_not_had_are_refused(address: Address) -> None:
    each = reduction()
    with opened(process_group(address)(SESSION, [each])) as channels:
        text = (
            "worker 'Ann' was to collect the sum 'sum 0' of round 0 without having contributed; expected its own term "
            "first. Play the steps in the schedule's order."
        )
        with refusal(ProtocolError, text):
            channels[0].collect(each, 0)
        text = (
            "worker 'Ann' cannot take part in the sum 'sum 7' (number 7, of Ann, Ben, Cas): its channel is not open, "
            "or was made without it. Open it first, with the reductions of the worker's own projection."
        )
        with refusal(ProtocolError, text):
            channels[0].contribute(reduction(7), 0, torch.zeros(5))
