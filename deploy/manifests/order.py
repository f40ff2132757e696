"""The input from which a manifest is written: name, placement, experiment, image, machine size and versions."""

import re
from dataclasses import dataclass, field

from antiphon.coordinator.plan.placement import Placement
from antiphon.deploy.authentication import FIRST, knows_tokens
from antiphon.deploy.manifests.machines import Size
from antiphon.deploy.manifests.pins import Versions
from antiphon.errors import ExperimentError

_NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,45}[a-z0-9])?")
_IMAGE = re.compile(r"[a-z0-9][\w./:@-]*")


@dataclass(frozen=True)
class ManifestInput:
    """The input from which a manifest (a file that starts a cluster) is written.

    name: name of the cluster or job. placement: the cluster must be large enough for it. experiment: text of a TOML
    file, for a job. image: image of the containers. size: size of one machine. versions: versions of packages, which
    the manifest pins.
    Raises ExperimentError for names that are not valid in Kubernetes, and for a version of Ray without token
    authentication.
    """

    name: str = "antiphon"
    placement: Placement | None = None
    experiment: str = ""
    image: str = ""
    size: Size = field(default_factory=Size)
    versions: Versions = field(default_factory=Versions.installed)

    def __post_init__(self) -> None:
        if not knows_tokens(self.versions.ray):
            raise ExperimentError(
                f"Ray {self.versions.ray} knows no tokens; expected {FIRST} or later, since manifests have "
                "authentication on. Install a later Ray."
            )
        if not _NAME.fullmatch(self.name):
            raise ExperimentError(
                f"a cluster or job cannot be named {self.name!r}; expected a letter, then at most 46 small letters, "
                "digits and hyphens, for Kubernetes takes no others. Give another --name."
            )
        if self.image and not _IMAGE.fullmatch(self.image):
            raise ExperimentError(
                f"an image cannot be named {self.image!r}; expected a name like 'antiphon:{self.versions.antiphon}', "
                "with the host of your registry in front of it. Correct --image."
            )

    @property
    def placed(self) -> Placement:
        """The placement. Raises AssertionError if it is None."""
        assert self.placement is not None  # manifests of machines are only made with a placement
        return self.placement
