"""A data set plays each item once an epoch, in an order that seed and epoch decide."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.utils.data import Dataset, IterableDataset

from antiphon.envs.dataset import arrays, dataset, digits, digits_arrays
from antiphon.errors import OracleError
from antiphon.grammars.types import Batch, EdgeType
from antiphon.testing import check_oracle


class Squares(Dataset):
    """Items (vector, array, number), made one by one."""

    def __init__(self, length=10, ragged=False):
        self.length, self.ragged = length, ragged

    def __len__(self):
        return self.length

    def __getitem__(self, index) -> tuple[Any, ...]:
        wide = self.ragged and index == 7
        return torch.full((3 if wide else 2,), float(index)), np.full((1, 2), index**2), index


class Words(Squares):
    def __getitem__(self, index) -> tuple[Any, ...]:
        return "a word", index


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(3))

    def __len__(self):
        return 3


def play(oracle, batches):
    return [oracle.answer("sample", (), round) for round in range(batches)]


@pytest.mark.parametrize(
    "declaration",
    [
        dataset(Squares, 10, batch=3),
        dataset(Squares, batch=10, shuffle=False),
        arrays(torch.arange(10.0), np.eye(10), batch=4),
        digits(1437, image=True),
        digits(7, split="test", dtype=torch.float64),
    ],
)
def test_data_sets_conform(declaration):
    check_oracle(declaration)


def test_the_items_type_the_question():
    (question,) = dataset(Squares, 10, batch=3, symbol="b").questions
    b = Batch("b")
    assert question.outputs == (EdgeType((b, 2)), EdgeType((b, 1, 2), torch.int64), EdgeType((b,), torch.int64))
    assert dataset(Squares, 10, batch=3).sizes == (("batch", 3),)


def test_elements_of_an_item_stay_together():
    for vector, array, number in play(dataset(Squares, 10, batch=3).make(seed=0), 5):
        assert vector[:, 1].tolist() == number.tolist()
        assert array[:, 0, 1].tolist() == (number**2).tolist()


@pytest.mark.parametrize("declaration", [dataset(Squares, 10, batch=3), arrays(torch.arange(10), batch=3)])
def test_an_epoch_plays_items_once_and_drops_the_ragged_rest(declaration):
    numbers = torch.stack([answer[-1] for answer in play(declaration.make(seed=0), 9)]).reshape(3, 9)
    assert [len(set(epoch)) for epoch in numbers.tolist()] == [9, 9, 9]
    assert len({tuple(epoch) for epoch in numbers.tolist()}) == 3


def test_without_shuffling_the_order_is_that_of_the_data():
    answers = play(arrays(torch.arange(7), batch=3, shuffle=False).make(seed=0), 3)
    assert [answer[0].tolist() for answer in answers] == [[0, 1, 2], [3, 4, 5], [0, 1, 2]]


def test_the_state_is_a_counter():
    oracle = arrays(torch.arange(7), batch=3).make(seed=0)
    play(oracle, 3)
    assert oracle.state() == {"epoch": 1, "position": 3}
    assert oracle.report() == {"epoch": 1 + 3 / 7}


def test_digits_are_scaled_split_and_stratified():
    (x, y), (test_x, test_y) = digits_arrays("train"), digits_arrays("test", image=True)
    assert (x.shape, test_x.shape) == ((1437, 64), (360, 1, 8, 8))
    assert (x.min(), x.max()) == (0, 1)
    assert y.dtype == torch.int64
    both = torch.cat([x, test_x.reshape(-1, 64)])
    assert len(both.unique(dim=0)) == 1797
    assert (torch.bincount(test_y) / 360 - torch.bincount(y) / 1437).abs().max() < 0.01


def test_digits_are_those_of_scikit_learn():
    split = [digits_arrays("train"), digits_arrays("test")]
    ours = [(*(16 * image).int().tolist(), int(label)) for x, y in split for image, label in zip(x, y, strict=True)]
    x, y = load_digits(return_X_y=True)
    assert sorted(ours) == sorted((*map(int, image), int(label)) for image, label in zip(x, y, strict=True))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: dataset(Squares, 3, batch=4),
            "data set test_dataset:Squares(3): expected a batch of 1 to 3, which is the number of items; 4 arrived. "
            "Choose another size of the batch.",
        ),
        (
            lambda: dataset(dict, batch=4),
            "data set builtins:dict(): expected a torch Dataset with a length and items by index; a dict arrived. "
            "Pass a map-style Dataset and its arguments; for tensors there is `arrays`.",
        ),
        (
            lambda: dataset(Stream, batch=1),
            "data set test_dataset:Stream(): expected a torch Dataset with a length and items by index; a Stream "
            "arrived. Pass a map-style Dataset and its arguments; for tensors there is `arrays`.",
        ),
        (
            lambda: dataset(Words, batch=1),
            "data set test_dataset:Words(): item 0 holds (str, int); expected tensors, arrays or numbers. "
            "Give the data set a transform that makes tensors.",
        ),
        (
            lambda: dataset(Squares, 8, True, batch=8, shuffle=False).make(seed=0).answer("sample", (), 0),
            "data set test_dataset:Squares(8, True): item 7 is [((3,), torch.float32), ((1, 2), torch.int64), ((), "
            "torch.int64)]; expected [((2,), torch.float32), ((1, 2), torch.int64), ((), torch.int64)], like item 0. "
            "Make every item of one shape and dtype (crop, pad, resize, convert).",
        ),
        (
            lambda: arrays(torch.zeros(3), torch.zeros(2), batch=1),
            "arrays: expected columns of one length; lengths [3, 2] arrived. Correct the shorter ones.",
        ),
    ],
)
def test_refusals(make, text):
    with pytest.raises(OracleError) as refused:
        make()
    assert str(refused.value).replace(__name__, "test_dataset") == text


class OneArray(Squares):
    """Hands out the same array for every item."""

    def __init__(self):
        super().__init__()
        self.array = np.zeros(2)

    def __getitem__(self, index) -> tuple[Any, ...]:
        self.array[:] = index
        return self.array, index


def test_an_array_that_is_handed_out_again_and_again_is_copied():
    (x, index), *_ = play(dataset(OneArray, batch=5).make(seed=0), 2)
    assert torch.equal(x[:, 0], index.double()) and len(index.unique()) == 5


def test_the_callers_arrays_may_change_afterwards():
    mine, yours = torch.arange(4.0), np.arange(4)
    declaration = arrays(mine, yours, batch=4, shuffle=False)
    mine.zero_()
    yours[:] = 0
    for column in declaration.make(seed=0).answer("sample", (), 0):
        assert column.tolist() == [0, 1, 2, 3]
