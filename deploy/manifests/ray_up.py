"""Write the cluster file for `ray up` on the user's own machines, reached by ssh (Ray's provider `local`)."""

import itertools

from antiphon.deploy.manifests.machines import groups
from antiphon.deploy.manifests.order import ManifestInput
from antiphon.deploy.manifests.template import filled


def ray_up(order: ManifestInput) -> str:
    """Return the cluster file for `ray up` as YAML text: a head node, and the machines that the placement needs.

    Machines whose address is not known get a placeholder from 192.0.2.0/24, which is reserved for documentation.
    """
    found = groups(order.placed, order.size)
    free = (f"192.0.2.{number}" for number in itertools.count(11))
    placed = [(group, [group.address or next(free) for _ in group.workers]) for group in found]
    return filled("ray-up.yaml", order, groups=found, placed=placed)
