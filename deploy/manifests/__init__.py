"""Writes files that start a cluster for a placement: `ray up`, KubeRay, Slurm, Docker. It starts nothing itself.

May import `antiphon.coordinator`, Jinja and PyYAML.
"""

from antiphon.deploy.manifests.machines import MachineGroup as MachineGroup, Size as Size, groups as groups
from antiphon.deploy.manifests.order import ManifestInput as ManifestInput
from antiphon.deploy.manifests.pins import Versions as Versions
from antiphon.deploy.manifests.texts import KINDS as KINDS, edits as edits, manifest as manifest
