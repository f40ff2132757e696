"""Lists the kinds of manifests, and finds the lines of a manifest that a user must check."""

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
"""The beginning of a comment that asks users to check the line below it, and in most cases to change it."""


@dataclass(frozen=True)
class ManifestKind:
    """A kind of manifest. write: a function from the input to the text. placed: whether it needs a placement."""

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
    """Return the text of a manifest. kind: a key of KINDS. Raises PlacementError for a placement that cannot be met."""
    return KINDS[kind].write(order)


def edits(text: str) -> list[tuple[int, str]]:
    """Return the lines marked with EDIT, which a user must check: line number, and text after the mark."""
    marked = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    return [(number, line.removeprefix(EDIT)) for number, line in marked if line.startswith(EDIT)]
