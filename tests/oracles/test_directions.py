"""The axes, one after the other: what finite differences look along."""

import pytest
import torch

from antiphon.errors import OracleError
from antiphon.grammars.types import Batch, EdgeType
from antiphon.oracles.directions import coordinates
from antiphon.oracles.noise import Annealing
from antiphon.testing import check_oracle


@pytest.mark.parametrize("scale", [0.5, Annealing(1.0, 0.1, rounds=3)])
def test_coordinates_conform(scale):
    check_oracle(coordinates(3, scale=scale, dtype=torch.float64))


def test_a_batch_is_every_axis_once():
    declaration = coordinates(3, symbol="axes", scale=Annealing(1.0, 0.5, rounds=10))
    assert declaration.sizes == (("axes", 3),)
    assert declaration.questions[0].outputs == (EdgeType((Batch("axes"), 3)),)
    oracle = declaration.make(seed=0)
    assert torch.equal(oracle.answer("sample", (), 10)[0], 0.5 * torch.eye(3))
    assert oracle.answer("scale", (), 0)[0].item() == 1.0


def test_deviations_are_of_a_floating_dtype():
    with pytest.raises(OracleError, match=r"coordinates: expected a floating dtype; torch\.int64 arrived\. Pass"):
        coordinates(2, dtype=torch.int64)
