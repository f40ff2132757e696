"""Write files (manifests) that start a cluster for a placement, for `ray up`, KubeRay, Slurm and Docker.

This folder starts no cluster itself. It may import `antiphon.coordinator`, Jinja and PyYAML.
"""

from antiphon.deploy.manifests.machines import MachineGroup as MachineGroup, Size as Size, groups as groups
from antiphon.deploy.manifests.order import ManifestInput as ManifestInput
from antiphon.deploy.manifests.pins import Versions as Versions
from antiphon.deploy.manifests.texts import KINDS as KINDS, edits as edits, manifest as manifest
