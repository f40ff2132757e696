"""Reads the machines of a Ray cluster, their free resources, and which placement groups hold the reserved ones.

Needs no dashboard.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import ray
from ray._private.resource_and_label_spec import ResourceAndLabelSpec
from ray._private.state import available_resources_per_node
from ray.util.placement_group import placement_group_table


@dataclass(frozen=True)
class Machine:
    """One Ray node that is alive.

    address: IP address. total: amount of each resource of the node, by name. labels: Ray's labels of the node. free:
    amount of each resource that is not reserved.
    """

    address: str
    total: Mapping[str, float]
    labels: Mapping[str, str] = field(default_factory=dict)
    free: Mapping[str, float] = field(default_factory=dict)


def machines() -> tuple[Machine, ...]:
    """Return every node that is alive, with the resources that its raylet reports."""
    free = available_resources_per_node()
    return tuple(
        Machine(node["NodeManagerAddress"], node["Resources"], node.get("Labels", {}), free.get(node["NodeID"], {}))
        for node in ray.nodes()
        if node["Alive"]
    )


def own_machine(num_cpus: int, num_gpus: int | None) -> Machine:
    """Return the resources that a Ray would have if it were started on this machine.

    Ray is not started, because that takes seconds. num_cpus: logical CPUs. num_gpus: logical GPUs; None for the GPUs
    that Ray finds.
    """
    address = ray.util.get_node_ip_address()
    found = ResourceAndLabelSpec(num_cpus=num_cpus, num_gpus=num_gpus).resolve(is_head=True, node_ip_address=address)
    total = {name: float(value) for name, value in found.to_resource_dict().items() if value is not None}
    return Machine(address, total, found.labels or {})


def holders(name: str) -> dict[str, dict[str, float]]:
    """Return the resources that each placement group has reserved, by name of the group.

    The group `name` is left out.
    """
    held: dict[str, dict[str, float]] = {}
    for group in placement_group_table().values():
        if group["state"] != "CREATED" or group["name"] == name:
            continue
        mine = held.setdefault(group["name"] or "(unnamed)", {})
        for bundle in group["bundles"].values():
            for resource, amount in bundle.items():
                mine[resource] = mine.get(resource, 0.0) + amount
    return held
