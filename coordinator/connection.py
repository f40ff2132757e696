"""How the workers of one generation reach each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch

from antiphon.coordinator.plan.schedule import Schedule
from antiphon.transport.channel import Channel
from antiphon.transport.message import Session
from antiphon.transport.object_store import Mailbox, ObjectStoreChannel, Post
from antiphon.transport.process_group import ProcessGroupChannel
from antiphon.transport.route import Site
from antiphon.transport.staged import onto


class Transport(StrEnum):
    """The channels between workers on Ray."""

    PROCESS_GROUP = "process-group"
    OBJECT_STORE = "object-store"


@dataclass(frozen=True)
class Connection:
    """One generation of channels among the workers of a run.

    store: address of the store where a process group meets. peers: each worker's actor handle; for the object store
    alone, since every handle that a worker is given costs it a registration. sites: where each worker computes.
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
    """A worker's own channel, not yet open. host: its address, for others to reach; device: where it computes."""
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
    def post(peer: str, edge: int, frame: bytes | bytearray) -> None:
        peers[peer].deliver.remote(edge, bytes(frame))

    return post
