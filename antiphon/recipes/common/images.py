"""Images for the generative recipes: digits, MNIST or the user's own data, for training and for the test."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from antiphon.envs import arrays, binarized, digits, digits_arrays, mnist, mnist_arrays
from antiphon.envs.mnist import Binary
from antiphon.errors import ExperimentError
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.plugins import made

SHIPPED = ("digits", "mnist")


def environment(
    table: str, data: str, arguments: Mapping[str, Any], batch: int, image: bool, binary: Binary
) -> OracleDeclaration:
    """Nature over the images of `data`: a name, or "module:function". Any: arguments of the user's function.

    table: the table of the experiment, for errors.
    binary: as in `mnist`.
    Raises ExperimentError or OracleError if `data` names no such images.
    """
    if data == "mnist":
        return mnist(batch, image=image, binary=binary)
    if data == "digits" and binary == "fixed":
        return arrays(*_drawn(digits_arrays(image=image)), batch=batch)
    if data == "digits":
        grey = digits(batch, image=image)
        return binarized(grey) if binary == "dynamic" else grey
    if ":" not in data:
        raise ExperimentError(
            f"key '{table}.data' takes 'digits', 'mnist' or 'module:function', and {data!r} arrived. Correct the value."
        )
    declaration = _own(data, {"batch": batch, **arguments})
    return binarized(declaration) if binary != "no" else declaration


def held_out(data: str, image: bool, binary: Binary) -> Tensor:
    """All test images of "digits" or "mnist": (n, ...). If training draws pixels, these are drawn once."""
    found = mnist_arrays("test", image, binary) if data == "mnist" else digits_arrays("test", image)
    return (_drawn(found) if binary != "no" else found)[0]


def example_of(nature: OracleDeclaration) -> tuple[int, ...]:
    """The shape of one x, without the batch."""
    return tuple(size for size in nature.questions[0].outputs[0].shape if isinstance(size, int))


def check_halvings(table: str, example: tuple[int, ...], channels: list[int]) -> None:
    """Raise ExperimentError unless the image can be halved once for each of the convolutions."""
    halvings = 2 ** len(channels)
    if len(example) != 3 or example[1] % halvings or example[2] % halvings:
        raise ExperimentError(
            f"key '{table}.network' is 'convolutional' with {len(channels)} channels for examples of the shape "
            f"{example}; expected (channels, height, width), both sizes divisible by {halvings}. "
            'Use fewer channels, other data, or network = "dense".'
        )


def _own(data: str, arguments: Mapping[str, Any]) -> OracleDeclaration:
    declaration = made("data", data, arguments)
    if not isinstance(declaration, OracleDeclaration):
        raise ExperimentError(
            f"data {data!r} returned {declaration!r}; expected the declaration of an oracle whose first answer is x. "
            "Return antiphon.dataset(...) or an OracleDeclaration of your own."
        )
    return declaration


def _drawn(columns: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return torch.bernoulli(columns[0], generator=torch.Generator().manual_seed(0)), columns[1]
