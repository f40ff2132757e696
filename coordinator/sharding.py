"""Players whose replicas hold a part of the parameters each: what they may be, and the group in which they gather."""

import fcntl
import os
import socket
import struct
from collections.abc import Mapping
from datetime import timedelta

import torch
from torch import distributed
from torch.distributed.device_mesh import DeviceMesh

from antiphon.coordinator.connection import Connection
from antiphon.coordinator.placement import Placement, Precision
from antiphon.errors import PlacementError
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.response import Deliver, Product
from antiphon.transport.rendezvous import scope, store_client
from antiphon.transport.route import Route, Site, carrier_of_group

_SIOCGIFADDR = 0x8915


def refuse_unshardable(grammar: Grammar, placement: Placement, nodes: Mapping[str, tuple[str, ...]]) -> None:
    """Hold sharded players to what all who hold a part can play together. nodes: of Q, that are divided.

    Raises PlacementError for a player with a clone, an agent elsewhere, a node that only one replica would play, or two
    products of one query.
    """
    for player in placement.sharded:
        found = _obstacle(grammar, placement, player, nodes)
        if found:
            raise PlacementError(
                f"player {player!r} cannot be sharded over its replicas: {found}. Expected nodes that all of them play "
                "together, each answered once, and an agent beside every part. Leave the player whole."
            )


def _obstacle(grammar: Grammar, placement: Placement, player: str, nodes: Mapping[str, tuple[str, ...]]) -> str:
    if player in placement.agent_of:
        return "its agent lives on another worker"
    if dict(placement.precision).get(player) is Precision.FLOAT16:
        return "its precision is float16, whose scale is each replica's own, and the parts are summed"
    if any(clone.player == player for clone in grammar.query.clones):
        return "a clone follows it"
    for node in grammar.query.nodes:
        if node.owner != player:
            continue
        if node.name not in nodes:
            return f"{node.name!r} is played by one replica alone, since its batch cannot be divided"
        products = [each for each in grammar.response.nodes if isinstance(each, Product) and each.of == node.name]
        if len(products) > 1:
            return f"{node.name!r} is asked for {len(products)} products of one query"
    return ""


def refuse_shared_devices(group: tuple[str, ...], sites: Mapping[str, Site]) -> None:
    """Raise PlacementError for replicas on CUDA devices of which two are one: NCCL gathers no parts between those."""
    found = carrier_of_group([sites[worker] for worker in group])
    if found is Route.HOST:
        raise PlacementError(
            f"the replicas {', '.join(map(repr, group))} hold parts of players and some of them share a device, or "
            "have none where others do; expected a device of its own for each, or none for any. Give each a whole GPU "
            "(num_gpus = 1), or leave their players whole."
        )


def undelivered(delivery: Deliver) -> PlacementError:
    """A sharded player hears something else than its own products, which alone are in parts."""
    return PlacementError(
        f"player {delivery.player!r} cannot be sharded over its replicas: it hears {delivery.message}, which is not "
        "made of its own products share by share. Expected those, negated, scaled or added at most. "
        "Leave the player whole."
    )


def join_group(connection: Connection, group: tuple[str, ...], me: str, host: str, device: torch.device) -> DeviceMesh:
    """Meet the other replicas in torch's default process group, which `fully_shard` uses; `leave_group` ends it."""
    # Gloo would look for its address under the machine's own name; it is to be the one that peers know us by.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", interface_of(host))
    store = store_client(connection.store, connection.session.deadline)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        store=scope(store, "shards", connection.run, connection.session.generation, group[0]),
        rank=group.index(me),
        world_size=len(group),
        timeout=timedelta(seconds=connection.session.deadline),
    )
    # Named after this meeting: torch keeps what it found for equal meshes, and a resident worker may have had another
    # place in the last one.
    name = f"{connection.run}, generation {connection.session.generation}, {me}"
    return DeviceMesh(device.type, list(range(len(group))), mesh_dim_names=(name,))


def leave_group() -> None:
    """End the group, if there is one."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def interface_of(address: str) -> str:
    """The name of the network interface that has this address (Linux).

    >>> interface_of("127.0.0.1")
    'lo'
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                found = fcntl.ioctl(asking.fileno(), _SIOCGIFADDR, request)
            except OSError:
                continue  # an interface without an address
            if socket.inet_ntoa(found[20:24]) == address:
                return name
    raise PlacementError(
        f"no network interface here has the address {address}; expected this machine's own. "
        "Set GLOO_SOCKET_IFNAME to the interface by which others reach it."
    )
