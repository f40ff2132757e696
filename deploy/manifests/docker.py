"""An image for every node: a Python, the versions that belong together, antiphon's wheel, and nobody's rights."""

from antiphon.deploy.manifests.order import Order
from antiphon.deploy.manifests.template import filled
from antiphon.deploy.manifests.versions import pins


def docker(order: Order) -> str:
    """The Dockerfile."""
    versions = order.versions
    values = {"antiphon": versions.antiphon, "python": versions.python, "ray": versions.ray, "torch": versions.torch}
    return filled("Dockerfile", {**values, "wheel": versions.wheel})


def constraints(_: Order) -> str:
    """Exact versions of everything that antiphon needs, as they are here, for pip's --constraint."""
    head = "# What `antiphon manifest constraints` found installed; for `pip install --constraint`."
    return "\n".join([head, *(f"{name}=={version}" for name, version in pins().items()), ""])
