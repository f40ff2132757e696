"""Compute two statistics of whether two samples come from the same distribution. Neither needs training."""

import torch
from torch import Tensor


def nearest_neighbour_hits(one: Tensor, two: Tensor) -> Tensor:
    """Return, for each example of two samples, whether its nearest neighbour is in the same sample.

    The nearest neighbour is searched among all other examples of both samples.
    one, two: the samples, (n, ...) each.
    Returns (2n,) bool. About half are true if both samples come from the same distribution. All are true if the samples
    are easy to separate, and few if one sample repeats the other (Lopez-Paz and Oquab 2017, section 3).
    """
    both = torch.cat([one, two]).flatten(1)
    distances = torch.cdist(both, both, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = distances.fill_diagonal_(torch.inf).argmin(1)
    return (nearest < len(one)) == (torch.arange(len(both)) < len(one))


def squared_discrepancy(one: Tensor, two: Tensor) -> float:
    """Return the unbiased squared maximum mean discrepancy of two samples.

    It is about 0 if both samples come from the same distribution.

    The kernel is exp(-d^2 / median d^2), with the median over all pairs (Gretton et al. 2012, eq. 3).

    one: (n, ...). two: (m, ...).
    """
    both = torch.cat([one, two]).flatten(1).double()
    squares = torch.cdist(both, both).square()
    apart = ~torch.eye(len(both), dtype=torch.bool)
    kernel = torch.exp(-squares / squares[apart].median()) * apart
    n, m = len(one), len(two)
    within = kernel[:n, :n].sum() / (n * (n - 1)) + kernel[n:, n:].sum() / (m * (m - 1))
    return float(within - 2 * kernel[:n, n:].mean())
