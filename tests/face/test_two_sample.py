"""Two samples of one distribution look alike, two of different ones do not."""

import math

import pytest
import torch

from antiphon.recipes.common.two_sample import nearest_neighbour_hits, squared_discrepancy


def normal(count: int, mean: float = 0.0, seed: int = 0) -> torch.Tensor:
    return mean + torch.randn(count, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_half_of_the_neighbours_are_of_the_own_sample_where_both_are_alike():
    assert nearest_neighbour_hits(normal(500), normal(500, seed=1)).double().mean() == pytest.approx(0.5, abs=0.05)


def test_all_are_where_they_lie_apart_and_none_where_one_repeats_the_other():
    assert nearest_neighbour_hits(normal(50), normal(50, 100.0)).all()
    assert not nearest_neighbour_hits(normal(50), normal(50) + 1e-9).any()


def test_the_discrepancy_is_nothing_on_average_between_samples_alike():
    found = [squared_discrepancy(normal(50, seed=2 * k), normal(60, seed=2 * k + 1)) for k in range(50)]
    assert min(found) < 0 < max(found)
    assert abs(sum(found) / 50) < 0.002


def test_the_discrepancy_of_two_pairs_by_hand():
    one, two = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [4.0]])
    squares = {(0, 1): 1, (0, 2): 4, (0, 3): 16, (1, 2): 1, (1, 3): 9, (2, 3): 4}
    kernel = {pair: math.exp(-square / 4) for pair, square in squares.items()}  # the median of all is 4
    across = sum(kernel[pair] for pair in ((0, 2), (0, 3), (1, 2), (1, 3))) / 4
    assert squared_discrepancy(one, two) == pytest.approx(kernel[0, 1] + kernel[2, 3] - 2 * across)
