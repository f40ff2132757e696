"""Whether two samples look like draws of one distribution: two statistics that need no training."""

import torch
from torch import Tensor


def nearest_neighbour_hits(one: Tensor, two: Tensor) -> Tensor:
    """Which examples have their nearest neighbour, among all others of both samples, in their own sample.

    (n, ...), (n, ...) -> (2n,) bool. About half are hits where both are drawn from one distribution, all where a
    classifier tells them apart, few where one sample repeats the other (Lopez-Paz and Oquab 2017, section 3).
    """
    both = torch.cat([one, two]).flatten(1)
    distances = torch.cdist(both, both, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = distances.fill_diagonal_(torch.inf).argmin(1)
    return (nearest < len(one)) == (torch.arange(len(both)) < len(one))


def squared_discrepancy(one: Tensor, two: Tensor) -> float:
    """The squared maximum mean discrepancy of two samples, without bias: about 0 where both are of one distribution.

    (n, ...), (m, ...). A Gaussian kernel exp(-d^2 / median d^2), the median over pairs (Gretton et al. 2012, eq. 3).
    """
    both = torch.cat([one, two]).flatten(1).double()
    squares = torch.cdist(both, both).square()
    apart = ~torch.eye(len(both), dtype=torch.bool)
    kernel = torch.exp(-squares / squares[apart].median()) * apart
    n, m = len(one), len(two)
    within = kernel[:n, :n].sum() / (n * (n - 1)) + kernel[n:, n:].sum() / (m * (m - 1))
    return float(within - 2 * kernel[:n, n:].mean())
