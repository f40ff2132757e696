"""Nature as the diabetes data set of scikit-learn, for regression."""

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
    """Declare a Nature of diabetes patients, without a download (Efron et al. 2004, Least angle regression).

    Question: sample() -> x, y. x contains ten variables of each patient, (batch, 10). y contains the progression of the
    disease after a year, (batch, 1). Both have mean 0 and variance 1 over the training split. split: "train" (353
    patients) or "test" (89), always the same.
    """
    return dataset(_diabetes, split, dtype, batch=batch, symbol=symbol)


@typed
def diabetes_arrays(split: Split = "train", dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Return one whole split of the diabetes data, for evaluation, as two tensors x and y.

    x contains ten variables of each patient, (patients, 10). y contains the progression of the disease after a year,
    (patients, 1). Every column of x, and y, have mean 0 and variance 1 over the training split. So the unit of a
    squared error is the variance of the training targets.
    """
    try:
        from sklearn.datasets import load_diabetes  # imported here, because it takes a second
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
