"""States are compared bit by bit."""

import math

import pytest
import torch

from antiphon.grammars.states import same_states

NAN, ZERO = math.nan, 0.0


@pytest.mark.parametrize("one", [NAN, torch.tensor([NAN, 1.0]), torch.tensor(NAN, dtype=torch.complex64)])
def test_a_value_has_the_same_bits_as_its_copy(one):
    assert same_states({"kept": [one]}, {"kept": [one.clone() if isinstance(one, torch.Tensor) else one]})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ZERO, -ZERO),
        (torch.tensor([ZERO]), torch.tensor([-ZERO])),
        (torch.zeros(2), torch.zeros(2, 1)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.int32)),
        (torch.eye(2), torch.eye(2).to_sparse()),
        (torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 2.0], [3.0, 4.0]]).t()),
    ],
)
def test_other_bits_are_another_state(one, other):
    assert not same_states({"kept": (one,)}, {"kept": (other,)})
