"""A partition is a value that says which outputs are the same."""

import pytest
import torch

from antiphon.errors import ExperimentError, ShapeError
from antiphon.grammars.partitions import Grid, Itself, Largest, Nearest, Threshold


def test_the_largest_logit_names_the_class_and_the_first_of_those_that_tie():
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 3.0, 0.0], [1.0, 5.0, 5.0], [-1.0, -2.0, -1.0]])
    assert Largest()(logits).tolist() == [0 + 1, 0, 1, 0]


def test_the_largest_is_argmax_where_nothing_ties():
    logits = torch.randn(200, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Largest()(logits), logits.argmax(1))


def test_a_threshold_is_not_above_itself():
    assert Threshold()(torch.tensor([-1.0, 0.0, 1e-9])).tolist() == [0, 0, 1]
    assert Threshold(2.0)(torch.tensor([[1.0, 3.0]])).tolist() == [[0, 1]]


def test_a_grid_includes_its_lower_edges():
    assert Grid(2.0, origin=1.0)(torch.tensor([-1.5, -1.0, 0.9, 1.0, 2.9, 3.0])).tolist() == [-2, -1, -1, 0, 0, 1]


def test_the_nearest_prototype_and_the_first_of_those_that_tie():
    by = Nearest(((0.0, 0.0), (2.0, 0.0), (0.0, 2.0)))
    assert by(torch.tensor([[0.1, 0.0], [1.0, 0.0], [1.0, 1.5], [9.0, 9.0]])).tolist() == [0, 0, 2, 1]
    assert Nearest(((0.0,), (1.0,)))(torch.tensor([0.2, 0.8])).tolist() == [0, 1]


def test_itself_is_every_output():
    assert Itself()(torch.tensor([3, 1])).tolist() == [3, 1]


def test_they_are_values_that_can_be_read():
    assert repr(Grid(0.5)) == "Grid(width=0.5, origin=0.0)"
    assert Nearest(((0.0,),)) == Nearest(((0.0,),)) != Nearest(((1.0,),))
    assert len({Largest(), Largest(), Threshold(), Threshold(1.0)}) == 3


@pytest.mark.parametrize(
    ("kind", "act", "text"),
    [
        (
            ExperimentError,
            lambda: Nearest(((0.0,), (1.0, 2.0))),
            "Nearest(prototypes=((0.0,), (1.0, 2.0))): expected one prototype or more, all of one length. "
            "Give each as many numbers as an output.",
        ),
        (
            ExperimentError,
            lambda: Nearest(()),
            "Nearest(prototypes=()): expected one prototype or more, all of one length. "
            "Give each as many numbers as an output.",
        ),
        (
            ShapeError,
            lambda: Nearest(((0.0, 1.0),))(torch.zeros(4, 3)),
            "Nearest() to prototypes of 2 numbers was given outputs of shape (4, 3); expected (inputs, 2). "
            "Give prototypes of that length.",
        ),
        (
            ShapeError,
            lambda: Largest()(torch.zeros(4)),
            "Largest() was given outputs of shape (4,); expected (inputs, classes), a logit for each class. "
            "State another partition, such as Threshold() for one logit.",
        ),
    ],
)
def test_refusals(refusal, kind, act, text):
    assert refusal(kind, act) == text
