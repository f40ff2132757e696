"""Makes the channels between workers. A generation is the set of channels that are opened together."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch

from antiphon.coordinator.plan.schedule import Schedule
from antiphon.transport.channel import Channel
from antiphon.transport.checksum import Checksum as Checksum
from antiphon.transport.codec import Frame
from antiphon.transport.message import Session
from antiphon.transport.object_store import Mailbox, ObjectStoreChannel, Post
from antiphon.transport.process_group import ProcessGroupChannel
from antiphon.transport.route import Site
from antiphon.transport.staged import onto


class Transport(StrEnum):
    """The kinds of channels between workers on Ray."""

    PROCESS_GROUP = "process-group"
    OBJECT_STORE = "object-store"


@dataclass(frozen=True)
class Connection:
    """The data that a worker needs to open its channel to the other workers.

    session: signature, generation and deadline. run: name of the run. transport: kind of the channel. store: address of
    the store in which the members of a process group publish their addresses. peers: the actor handle of each
    worker; empty unless the transport is the object store, because Ray must register each handle. sites: machine and
    device of each worker.
    """

    session: Session
    run: str
    transport: Transport
    store: tuple[str, int]
    peers: Mapping[str, Any]  # Any: Ray's actor handles have no common type
    sites: Mapping[str, Site]


def connect(
    connection: Connection, schedule: Schedule, worker: str, host: str, mailbox: Mailbox, device: torch.device
) -> Channel:
    """Return a new channel to the other workers for `worker`. The caller opens it.

    host: address at which the other workers reach this worker. mailbox: receives frames if the transport is the object
    store. device: the device on which this worker computes.
    """
    if connection.transport is Transport.OBJECT_STORE:
        poster = _poster(connection.peers)
        own = schedule.carried_by(worker)
        return onto(ObjectStoreChannel(connection.session, worker, poster, mailbox, own), device)
    ranks = {name: rank for rank, name in enumerate(schedule.workers)}
    return ProcessGroupChannel(
        connection.session,
        worker,
        ranks,
        connection.store,
        list(schedule.edges.values()),
        host,
        run=connection.run,
        reductions=list(schedule.reductions.values()),
        device=device,
        sites=connection.sites,
    )


def _poster(peers: Mapping[str, Any]) -> Post:
    def post(peer: str, edge: int, frame: Frame) -> None:
        peers[peer].deliver.remote(edge, bytes(frame))

    return post
