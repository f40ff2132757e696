"""A placement as files that start a cluster for it: `ray up`, KubeRay, Slurm, Docker. Nothing starts here.

May import `antiphon.coordinator`, and PyYAML, which reads back what was written.
"""

from antiphon.deploy.manifests.machines import Group as Group
from antiphon.deploy.manifests.machines import Size as Size
from antiphon.deploy.manifests.machines import groups as groups
from antiphon.deploy.manifests.order import Order as Order
from antiphon.deploy.manifests.texts import KINDS as KINDS
from antiphon.deploy.manifests.texts import edits as edits
from antiphon.deploy.manifests.texts import manifest as manifest
from antiphon.deploy.manifests.versions import Versions as Versions
