"""Writes the Dockerfile of an image for all nodes: Python, pinned versions, antiphon's wheel, and a plain user."""

from antiphon.deploy.manifests.order import ManifestInput
from antiphon.deploy.manifests.pins import pins
from antiphon.deploy.manifests.template import filled


def docker(order: ManifestInput) -> str:
    """Return the text of the Dockerfile."""
    return filled("Dockerfile", order)


def constraints(_: ManifestInput) -> str:
    """Return the installed version of each package that antiphon needs, in the format of pip's --constraint."""
    head = "# What `antiphon manifest constraints` found installed; for `pip install --constraint`."
    return "\n".join([head, *(f"{name}=={version}" for name, version in pins().items()), ""])
