"""Test the channels between workers on the CPUs or GPUs of a machine, with tests of `antiphon.testing.channel`."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from antiphon.testing.channel import (
    MakePair,
    Pair,
    law_a_sent_value_is_the_senders_again,
    law_a_value_of_another_type_is_refused,
    law_edges_do_not_wait_for_each_other,
    law_every_type_arrives_bit_by_bit,
    law_rounds_arrive_in_order_both_ways,
    law_what_is_put_on_the_way_is_told_and_does_not_vary,
)
from antiphon.transport.channel import Channel
from antiphon.transport.memory import Value
from antiphon.transport.message import Edge, Reduction, Session, Tag
from antiphon.transport.nccl import MakeGroup
from antiphon.transport.process_group import ProcessGroupChannel
from antiphon.transport.rendezvous import Address
from antiphon.transport.route import Route, Site, carrier

LAWS: tuple[Callable[[MakePair], None], ...] = (
    law_every_type_arrives_bit_by_bit,
    law_rounds_arrive_in_order_both_ways,
    law_edges_do_not_wait_for_each_other,
    law_a_sent_value_is_the_senders_again,
    law_a_value_of_another_type_is_refused,
    law_what_is_put_on_the_way_is_told_and_does_not_vary,
)

_runs = itertools.count()


@dataclass(frozen=True)
class Place:
    """The device and the machine of one end of a channel.

    device: device of the tensors that this end sends and receives. site: machine and device, as the other end sees
    them.
    """

    device: torch.device
    site: Site

    @classmethod
    def cpu(cls, address: str) -> "Place":
        """Return the place of a channel's end on the CPU of a machine. address: address of the machine."""
        return cls(torch.device("cpu"), Site(address))


@final
class _Visiting:
    """A channel that copies tensors to a device before sending, and back to the CPU after receiving.

    So the tests of channels, which use tensors on the CPU, can test a channel for tensors on a GPU.
    """

    def __init__(self, channel: Channel, device: torch.device) -> None:
        self._channel, self._device = channel, device

    def open(self) -> None:
        self._channel.open()

    def send(self, edge: Edge, round: int, value: Value) -> int:
        """Copy a value to the device, send the copy, and overwrite the copy at once.

        The overwriting tests that a sender may reuse the memory after `send`. Returns the number of bytes sent.
        """
        parts = (value,) if isinstance(value, Tensor) else value
        there = tuple(each.detach().to(self._device, copy=True) for each in parts)
        sent = self._channel.send(edge, round, there[0] if isinstance(value, Tensor) else there)
        for each in there:
            each.zero_()
        return sent

    def receive(self, edge: Edge, round: int) -> Tensor:
        """Receive a value on the device, and return a copy on the CPU."""
        arrived = self._channel.receive(edge, round)
        assert arrived.device == self._device, f"{arrived.device} instead of {self._device}"
        return arrived.cpu()

    def contribute(self, reduction: Reduction, round: int, value: Tensor) -> int:
        return self._channel.contribute(reduction, round, value.to(self._device))

    def collect(self, reduction: Reduction, round: int) -> Tensor:
        """Receive the sum of an all-reduce over replicas on the device, and return a copy on the CPU."""
        return self._channel.collect(reduction, round).cpu()

    def settle(self) -> None:
        self._channel.settle()

    def close(self) -> None:
        self._channel.close()


def pairs(address: Address, places: tuple[Place, Place], make: MakeGroup | None = None) -> MakePair:
    """Return a function that makes two connected channels in this process, for tests.

    address: address of the rendezvous store. places: device and machine of each channel.
    make: makes an NCCL group; None uses torch's NCCL.
    """

    def make_pair(session: Session, edges: Sequence[Edge]) -> Pair:
        names, run = ("Alice", "Bob"), f"doctor {next(_runs)}"
        sites = {name: place.site for name, place in zip(names, places, strict=True)}
        ranks = {name: rank for rank, name in enumerate(names)}
        ends = [
            _Visiting(
                ProcessGroupChannel(
                    session, name, ranks, address, edges, address[0], run, device=place.device, sites=sites, make=make
                ),
                place.device,
            )
            for name, place in zip(names, places, strict=True)
        ]
        ordered = carrier(places[0].site, places[1].site) is Route.NCCL
        return Pair(ends[0], ends[1], _no_forger, ends[0].close, ordered)

    return make_pair


def hold_laws(make_pair: MakePair) -> int:
    """Run all tests in `LAWS` on a kind of channel, and return the number of tests.

    make_pair: makes two connected channels of the kind. Raises AssertionError if a test fails.
    """
    for law in LAWS:
        law(make_pair)
    return len(LAWS)


def _no_forger(edge: Edge, tag: Tag, value: Tensor) -> None:
    raise NotImplementedError  # no law of LAWS forges a message
