"""Write a manifest of a given kind, and find the lines of a manifest that a user must check."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from antiphon.deploy.manifests.kuberay import kuberay
from antiphon.deploy.manifests.order import ManifestInput
from antiphon.deploy.manifests.pins import constraints
from antiphon.deploy.manifests.ray_up import ray_up
from antiphon.deploy.manifests.slurm import slurm
from antiphon.deploy.manifests.template import filled

EDIT = "# EDIT: "
"""The beginning of a comment in a manifest that asks users to check, and mostly change, the line below it."""


@dataclass(frozen=True)
class ManifestKind:
    """A kind of manifest. write: makes the text from the input. placed: whether the input must have a placement."""

    write: Callable[[ManifestInput], str]
    placed: bool = True


KINDS: Mapping[str, ManifestKind] = {
    "ray-up": ManifestKind(ray_up),
    "kuberay-cluster": ManifestKind(partial(kuberay, job=False)),
    "kuberay-job": ManifestKind(partial(kuberay, job=True)),
    "slurm": ManifestKind(slurm),
    "docker": ManifestKind(partial(filled, "Dockerfile"), placed=False),
    "constraints": ManifestKind(lambda _: constraints(), placed=False),
}


def manifest(kind: str, order: ManifestInput) -> str:
    """Return the text of a manifest. kind: a key of `KINDS`, such as "slurm".

    Raises PlacementError for a placement that such a cluster cannot satisfy.
    """
    return KINDS[kind].write(order)


def edits(text: str) -> list[tuple[int, str]]:
    """Return the comments of a manifest that ask the user to check a line: (line number, text of the comment)."""
    marked = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    return [(number, line.removeprefix(EDIT)) for number, line in marked if line.startswith(EDIT)]
