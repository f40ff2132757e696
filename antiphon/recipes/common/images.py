"""Get images for experiments with generative models: digits, MNIST or the user's own data."""

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
"""For each kind of network, two classes: a module from an image to numbers, and a module from numbers to an image."""


def environment(key: str, table: DataTable, image: bool, binary: Binary) -> OracleDeclaration:
    """Declare the oracle that plays the images of the setting `data`.

    key: the key of `table` in the experiment, for error messages. image: whether examples have the shape of an image;
    otherwise they are vectors.
    binary: whether pixels are replaced by random draws of 0 or 1: "no", "fixed" (once), or "dynamic" (in each round).
    Raises ExperimentError or OracleError if `data` names no images.
    """

    def ours() -> OracleDeclaration:
        if binary == "fixed":
            return arrays(*_drawn(digits_arrays(image=image)), batch=table.batch)
        grey = digits(table.batch, image=image)
        return binarized(grey) if binary == "dynamic" else grey

    nature = nature_of(key, table, {"digits": ours, "mnist": lambda: mnist(table.batch, image=image, binary=binary)})
    return binarized(nature) if table.data not in SHIPPED and binary != "no" else nature


def held_out(data: str, image: bool, binary: Binary) -> Tensor:
    """Return all test images of the data set "digits" or "mnist": (n, ...).

    image: whether they have the shape of an image; otherwise they are vectors. binary: unless "no", each pixel is
    replaced by one random draw of 0 or 1, with a fixed seed.
    """
    found = mnist_arrays("test", image, binary) if data == "mnist" else digits_arrays("test", image)
    return (_drawn(found) if binary != "no" else found)[0]


def _drawn(columns: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return torch.bernoulli(columns[0], generator=torch.Generator().manual_seed(0)), columns[1]
