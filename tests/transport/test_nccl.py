"""NCCL's link over a group that stands in: buffers under way, peers that cannot be reached, builds without it."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
import torch

from antiphon.errors import DeadlineError, TransportError
from antiphon.testing.channel import SESSION, edge, refusal, same_bits, sample
from antiphon.transport.message import Edge, Session
from antiphon.transport.nccl import MakeGroup
from antiphon.transport.process_group import ProcessGroupChannel
from antiphon.transport.rendezvous import Address
from antiphon.transport.route import Site
from rigs.nccl import StandIn, StandInWork

RANKS = {"Alice": 0, "Bob": 1}
SITES = {me: Site("127.0.0.1", "cuda", f"GPU-{me}") for me in RANKS}
HASTY = replace(SESSION, deadline=0.3)


def ends(
    address: Address, run: str, make: MakeGroup | None, session: Session = HASTY, edges: Sequence[Edge] = (edge(),)
) -> list[ProcessGroupChannel]:
    return [
        ProcessGroupChannel(session, me, RANKS, address, edges, "127.0.0.1", run, sites=SITES, make=make)
        for me in RANKS
    ]


def open_all(channels: list[ProcessGroupChannel]) -> list[BaseException | None]:
    with ThreadPoolExecutor(len(channels)) as threads:
        return [opening.exception() for opening in [threads.submit(each.open) for each in channels]]


def test_a_message_under_way_is_not_written_over(address: Address) -> None:
    """Two may wait; the third send finds no free buffer, and leaves the first as it was."""
    alice, bob = ends(address, "under way", StandIn().make)
    assert open_all([alice, bob]) == [None, None]
    for round in (0, 1):
        alice.send(edge(), round, sample(edge(), round))
    with pytest.raises(DeadlineError, match=r"'Bob' to take its last message on edge .* \(query phase, round 0\)"):
        alice.send(edge(), 2, sample(edge(), 2))
    for round in (0, 1):
        assert same_bits(bob.receive(edge(), round), sample(edge(), round))
    alice.close()
    bob.close()


def test_a_peer_that_does_not_answer_is_named(address: Address) -> None:
    """Each is in a world of its own: nobody answers."""
    errors = open_all([end for me in (0, 1) for end in ends(address, "alone", StandIn().make)[me : me + 1]])
    text = (
        "worker 'Alice' cannot connect to 'Bob' over NCCL in generation 2: NCCL timed out. Expected two devices that "
        "reach each other; run `antiphon doctor --gpu`, and set NCCL_DEBUG=INFO to see what NCCL tried."
    )
    assert isinstance(errors[0], TransportError) and str(errors[0]) == text


@pytest.mark.skipif(hasattr(torch.distributed, "ProcessGroupNCCL"), reason="this torch has NCCL")
def test_a_build_without_nccl_is_said(address: Address) -> None:
    text = (
        "worker 'Alice' was to use NCCL on cpu; this torch was built without it. Install a CUDA build of torch, or "
        "place the worker on the CPU."
    )
    errors = open_all(ends(address, "no nccl", None))
    with refusal(TransportError, text):
        assert errors[0] is not None
        raise errors[0]


def test_a_work_that_stands_in_waits_as_torchs_does() -> None:
    work = StandInWork(torch.zeros(1))
    with pytest.raises(RuntimeError, match="timed out"):
        work.wait(timedelta(seconds=0.01))
    work.end()
    assert work.is_completed() and work.wait()
