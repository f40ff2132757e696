"""Makes the process group of replicas that each hold a shard of their players' parameters."""

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
from antiphon.errors import PlacementError
from antiphon.transport.authenticated_store import AuthenticatedStore
from antiphon.transport.rendezvous import scope, store_client
from antiphon.transport.route import Route, Site, carrier_of_group

_SIOCGIFADDR = 0x8915
_held: list[AuthenticatedStore] = []  # of the default group: torch does not keep the Python part of a store alive


def refuse_shared_devices(group: tuple[str, ...], sites: Mapping[str, Site]) -> None:
    """Raise PlacementError if two replicas of the group share a CUDA device, or if only some replicas have a device.

    NCCL cannot gather shards between two ranks on one device.
    """
    found = carrier_of_group([sites[worker] for worker in group])
    if found is Route.HOST:
        raise PlacementError(
            f"the replicas {', '.join(map(repr, group))} hold parts of players and some of them share a device, or "
            "have none where others do; expected a device of its own for each, or none for any. Give each a whole GPU "
            "(num_gpus = 1), or leave their players whole."
        )


def join_group(connection: Connection, group: tuple[str, ...], me: str, host: str, device: torch.device) -> DeviceMesh:
    """Make torch's default process group from the workers in `group`, for `fully_shard`. Blocks until all have joined.

    me: this worker, one of `group`. host: address of this worker. Returns a device mesh of all workers in the group.
    Call `leave_group` later.
    """
    # By default gloo uses the address of the machine's host name. It must use the address that the peers know.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", interface_of(host))
    store = store_client(connection.store, connection.session.deadline)
    if device.type == "cpu":  # NCCL asks the store from threads of its own
        store = AuthenticatedStore(store, connection.session.secret, me)
        _held.append(store)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        store=scope(store, "shards", connection.run, connection.session.generation, group[0]),
        rank=group.index(me),
        world_size=len(group),
        timeout=timedelta(seconds=connection.session.deadline),
    )
    # torch caches results for equal meshes, and this process may have had another rank in its last group. A unique name
    # keeps the meshes apart.
    name = f"{connection.run}, generation {connection.session.generation}, {me}"
    return DeviceMesh(device.type, list(range(len(group))), mesh_dim_names=(name,))


def leave_group() -> None:
    """Destroy torch's default process group, if there is one."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
    _held.clear()


def interface_of(address: str) -> str:
    """Return the name of the network interface with this address (Linux). Raises PlacementError if there is none.

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
