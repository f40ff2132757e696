"""Diabetes: a fixed split, standardised by what training has seen."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes

from antiphon.envs import diabetes, diabetes_arrays
from antiphon.testing import check_oracle


@pytest.mark.parametrize("declaration", [diabetes(32), diabetes(89, split="test", dtype=torch.float64)])
def test_it_conforms(declaration):
    check_oracle(declaration)


def test_it_plays_columns_and_a_target():
    x, y = diabetes(32).make(seed=0).answer("sample", (), 0)
    assert (x.shape, y.shape, x.dtype, y.dtype) == ((32, 10), (32, 1), torch.float32, torch.float32)


def test_training_columns_have_mean_0_and_variance_1():
    for column in diabetes_arrays(dtype=torch.float64):
        assert column.mean(0).abs().max() < 1e-12
        assert (column.var(0, unbiased=False) - 1).abs().max() < 1e-12


def test_the_test_split_is_scaled_by_training_and_shares_no_patient_with_it():
    (x, y), (other, target) = (diabetes_arrays(split, torch.float64) for split in ("train", "test"))
    assert (len(x), len(other)) == (353, 89)
    assert other.mean(0).abs().max() > 0.01
    raw, disease = map(np.asarray, load_diabetes(return_X_y=True, scaled=False))
    every, labels = torch.cat([x, other]), torch.cat([y, target])
    for column, original in ((every[:, 2], raw[:, 2]), (labels[:, 0], disease)):
        back = torch.corrcoef(torch.stack([column.sort().values, torch.tensor(original).sort().values]))
        assert abs(float(back[0, 1]) - 1) < 1e-12  # the same patients, all of them, up to one scale


def test_the_split_is_always_the_same():
    assert torch.equal(diabetes_arrays("test")[0], diabetes_arrays("test")[0])
