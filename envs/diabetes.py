"""Nature as a regression on patients: the diabetes data set that comes with scikit-learn."""

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from antiphon.envs.dataset import Split, dataset
from antiphon.grammars.numbers import Count
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.typed import typed
from antiphon.plugins import missing


@typed
def diabetes(
    batch: Count, *, split: Split = "train", dtype: torch.dtype = torch.float32, symbol: str = "batch"
) -> OracleDeclaration:
    """Nature, who plays diabetes patients and how far the disease went on in a year (Efron et al. 2004, Least angle
    regression; no download).

    Question: sample() -> x, (batch, 10); y, (batch, 1): see `diabetes_arrays`.
    split: "train" (353 patients) or "test" (89), always the same.
    """
    return dataset(_diabetes, split, dtype, batch=batch, symbol=symbol)


@typed
def diabetes_arrays(split: Split = "train", dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """All of one split of `diabetes`: x and y, to evaluate on.

    Every column and the target have mean 0 and variance 1 over the training split; so a squared error is in units of
    the training targets' variance.
    """
    try:
        from sklearn.datasets import load_diabetes  # it takes a second, and few need it
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise missing("the diabetes data", "data", error) from None

    x, y = map(np.asarray, load_diabetes(return_X_y=True, scaled=False))
    parts = train_test_split(x, y[:, None], test_size=0.2, random_state=0)
    x_train, x_test, y_train, y_test = map(np.asarray, parts)
    columns = ((x_train, x_test), (y_train, y_test))
    chosen = [(pair[split == "test"] - pair[0].mean(0)) / pair[0].std(0) for pair in columns]
    return torch.tensor(chosen[0], dtype=dtype), torch.tensor(chosen[1], dtype=dtype)


def _diabetes(split: Split, dtype: torch.dtype) -> TensorDataset:
    return TensorDataset(*diabetes_arrays(split, dtype))
