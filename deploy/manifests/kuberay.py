"""Write manifests for KubeRay: a RayCluster or a RayJob, with a token, TLS between the pods, and a network policy.

The fields are those of KubeRay's `ray.io/v1`. The field `authOptions` needs version 1.5.1 or later of the operator.
"""

import re

from antiphon.deploy.manifests.machines import MachineGroup, groups, refuse_addresses
from antiphon.deploy.manifests.order import ManifestInput
from antiphon.deploy.manifests.template import filled
from antiphon.errors import PlacementError

_LABEL = re.compile(r"(?:[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?)?")


def kuberay(order: ManifestInput, job: bool) -> str:
    """Return a manifest for KubeRay as YAML text.

    job: if true, the manifest of a job with its own cluster, which is removed after the job; if false, the manifest of
    a permanent cluster for `antiphon launch`.
    """
    refuse_addresses(order.placed, "Kubernetes")
    found = groups(order.placed, order.size)
    for group in found:
        _refuse_labels(group)
    return filled("kuberay.yaml", order, job=job, groups=found)


def _refuse_labels(group: MachineGroup) -> None:
    for key, value in group.labels:
        if not _LABEL.fullmatch(value) or not _LABEL.fullmatch(key.rpartition("/")[2]):
            raise PlacementError(
                f"{group.everyone}: the label {key}={value} is none of Kubernetes's; expected letters, digits, "
                "hyphens, dots and underscores, 63 at most. Name the label so."
            )
