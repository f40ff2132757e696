"""Densities for Estimator, the player of maximum likelihood: modules that compute log Q_theta(x), and log-priors of
their parameters.
"""

import math
from typing import final

import torch
from torch import Tensor, nn

from antiphon.grammars.numbers import Count
from antiphon.grammars.typed import typed

_LOG_TWO_PI = math.log(2 * math.pi)


@typed
@final
class GaussianDensity(nn.Module):
    """The log-density of a Gaussian, log N(x; mean, L L'): (batch, dimension) -> (batch,). It starts as the standard
    normal.

    L is lower triangular with a positive diagonal, so every parameter vector is a valid Gaussian.
    mean: (dimension,). log_diagonal: log of L's diagonal, (dimension,). below: L's entries below the diagonal, row by
    row.
    """

    def __init__(self, dimension: Count, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(dimension, dtype=dtype))
        self.log_diagonal = nn.Parameter(torch.zeros(dimension, dtype=dtype))
        self.below = nn.Parameter(torch.zeros(dimension * (dimension - 1) // 2, dtype=dtype))

    @property
    def factor(self) -> Tensor:
        """Return L, the Cholesky factor of the covariance, (dimension, dimension)."""
        rows, columns = torch.tril_indices(len(self.mean), len(self.mean), offset=-1, device=self.mean.device)
        return torch.diag(self.log_diagonal.exp()).index_put((rows, columns), self.below)

    @property
    def covariance(self) -> Tensor:
        """Return the covariance L L', (dimension, dimension)."""
        return self.factor @ self.factor.T

    def forward(self, x: Tensor) -> Tensor:
        """Return log N(x; mean, L L') of each example, (batch,). x: (batch, dimension)."""
        white = torch.linalg.solve_triangular(self.factor, (x - self.mean).T, upper=False)
        return -0.5 * (white.square().sum(0) + len(self.mean) * _LOG_TWO_PI) - self.log_diagonal.sum()


@typed
def normal_inverse_wishart(
    density: GaussianDensity, center: Tensor, scale: Tensor, strength: float, freedom: float
) -> Tensor:
    """Return log p(mean, covariance), 0-d, of the conjugate prior of a Gaussian (Gelman et al., Bayesian Data Analysis,
    3.6).

    covariance ~ inverse Wishart(scale, freedom), mean ~ N(center, covariance / strength). The result is a density of
    (mean, covariance), not of the parameters that represent them. So the mode does not depend on the representation.
    center: (dimension,). scale: (dimension, dimension), symmetric and positive definite. freedom: above dimension - 1.
    """
    size = len(center)
    center, scale = center.to(density.mean.device), scale.to(density.mean.device)
    log_determinant = 2 * density.log_diagonal.sum()
    shift = torch.linalg.solve_triangular(density.factor, (density.mean - center)[:, None], upper=False)
    trace = torch.linalg.solve_triangular(density.factor, torch.linalg.cholesky(scale), upper=False).square().sum()
    normal = -0.5 * (size * (_LOG_TWO_PI - math.log(strength)) + log_determinant + strength * shift.square().sum())
    wishart = -0.5 * ((freedom + size + 1) * log_determinant + trace)
    half = torch.full((), freedom / 2, dtype=scale.dtype, device=scale.device)
    constant = half * (torch.logdet(scale) - size * math.log(2.0)) - torch.mvlgamma(half, size)
    return normal + wishart + constant
