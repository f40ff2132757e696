"""Writes files that start a cluster for a placement: `ray up`, KubeRay, Slurm, Docker. It starts nothing itself.

May import `antiphon.coordinator`, and PyYAML.
"""

from antiphon.deploy.manifests.machines import Group as Group
from antiphon.deploy.manifests.machines import Size as Size
from antiphon.deploy.manifests.machines import groups as groups
from antiphon.deploy.manifests.order import Order as Order
from antiphon.deploy.manifests.texts import KINDS as KINDS
from antiphon.deploy.manifests.texts import edits as edits
from antiphon.deploy.manifests.texts import manifest as manifest
from antiphon.deploy.manifests.versions import Versions as Versions
