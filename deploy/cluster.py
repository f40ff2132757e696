"""What the cluster has: its machines, what is free on them, and who holds the rest. Works without the dashboard."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import ray
from ray._private.resource_and_label_spec import ResourceAndLabelSpec
from ray._private.state import available_resources_per_node
from ray.util.placement_group import placement_group_table


@dataclass(frozen=True)
class Machine:
    """One living Ray node. free: what nobody has reserved."""

    address: str
    total: Mapping[str, float]
    labels: Mapping[str, str] = field(default_factory=dict)
    free: Mapping[str, float] = field(default_factory=dict)


def machines() -> tuple[Machine, ...]:
    """Every node that is alive, as its raylet told."""
    free = available_resources_per_node()
    return tuple(
        Machine(node["NodeManagerAddress"], node["Resources"], node.get("Labels", {}), free.get(node["NodeID"], {}))
        for node in ray.nodes()
        if node["Alive"]
    )


def own_machine(num_cpus: int, num_gpus: int | None) -> Machine:
    """What a Ray that is started here will have, before it is: GPUs as Ray finds them if None. Starting one to refuse
    what it cannot have would take seconds."""
    address = ray.util.get_node_ip_address()
    found = ResourceAndLabelSpec(num_cpus=num_cpus, num_gpus=num_gpus).resolve(is_head=True, node_ip_address=address)
    total = {name: float(value) for name, value in found.to_resource_dict().items() if value is not None}
    return Machine(address, total, found.labels or {})


def holders(name: str) -> dict[str, dict[str, float]]:
    """Who has reserved what by placement groups, by the names of these; but for the one called `name`."""
    held: dict[str, dict[str, float]] = {}
    for group in placement_group_table().values():
        if group["state"] != "CREATED" or group["name"] == name:
            continue
        mine = held.setdefault(group["name"] or "(unnamed)", {})
        for bundle in group["bundles"].values():
            for resource, amount in bundle.items():
                mine[resource] = mine.get(resource, 0.0) + amount
    return held
