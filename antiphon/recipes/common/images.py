"""Get images for the generative recipes: digits, MNIST or the user's own data, for training and for evaluation."""

import torch
from torch import Tensor

from antiphon.envs import arrays, binarized, digits, digits_arrays, mnist, mnist_arrays
from antiphon.envs.mnist import Binary
from antiphon.grammars.library import generative
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.recipes.common.data import DataTable, nature_of

SHIPPED = ("digits", "mnist")
NETWORKS = {
    "dense": (generative.DenseAnalysis, generative.DenseSynthesis),
    "convolutional": (generative.ConvolutionalAnalysis, generative.ConvolutionalSynthesis),
}
"""For each kind of network: the class from an image to numbers, and the class from numbers to an image."""


def environment(key: str, table: DataTable, image: bool, binary: Binary) -> OracleDeclaration:
    """Declare Nature for the images of a table.

    key: the table's key in the experiment, for errors. image: whether examples have the shape of an image.
    binary: whether and when pixels are drawn as 0 or 1; see `mnist`.
    Raises ExperimentError or OracleError if `data` names no such images.
    """

    def ours() -> OracleDeclaration:
        if binary == "fixed":
            return arrays(*_drawn(digits_arrays(image=image)), batch=table.batch)
        grey = digits(table.batch, image=image)
        return binarized(grey) if binary == "dynamic" else grey

    nature = nature_of(key, table, {"digits": ours, "mnist": lambda: mnist(table.batch, image=image, binary=binary)})
    return binarized(nature) if table.data not in SHIPPED and binary != "no" else nature


def held_out(data: str, image: bool, binary: Binary) -> Tensor:
    """Return all test images of "digits" or "mnist": (n, ...). If training draws pixels, each is drawn once here."""
    found = mnist_arrays("test", image, binary) if data == "mnist" else digits_arrays("test", image)
    return (_drawn(found) if binary != "no" else found)[0]


def _drawn(columns: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return torch.bernoulli(columns[0], generator=torch.Generator().manual_seed(0)), columns[1]
