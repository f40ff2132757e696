"""Test the grammars of maximum likelihood and maximum a posteriori, which fit a Gaussian density.

Gradients must be exact, and Estimator must reach the best Gaussian, which is known.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from antiphon.checks.suite import Case, Learning, Suite, descent
from antiphon.envs import arrays
from antiphon.grammars import Arrives, Factory, Grammar, Learned, promised
from antiphon.grammars.library import maximum_a_posteriori, maximum_likelihood
from antiphon.grammars.library.densities import GaussianDensity, normal_inverse_wishart

COUNT, SIZE = 40, 2
STRENGTH, FREEDOM = 5.0, 6.0
CENTER, SCALE = torch.tensor([1.0, -1.0]).double(), torch.tensor([[2.0, 0.3], [0.3, 1.0]]).double()
DENSITY = Factory.of(GaussianDensity, SIZE, torch.float64)
PRIOR = Factory.of(normal_inverse_wishart, center=CENTER, scale=SCALE, strength=STRENGTH, freedom=FREEDOM)
DESCENT = Learning(250, descent(0.1, momentum=0.8))


def sampled(seed: int) -> Grammar:
    """Make a grammar that fits a Gaussian to random batches: without a prior for even seeds, with one for odd seeds."""
    nature = arrays(points(seed), batch=8)
    return maximum_a_posteriori(nature, DENSITY, PRIOR, COUNT) if seed % 2 else maximum_likelihood(nature, DENSITY)


def likeliest(seed: int) -> Grammar:
    """Make a grammar that fits a Gaussian without a prior; each batch is the whole data set.

    The known solution is the mean and the biased covariance of the examples.
    """
    x = points(seed)
    grammar = maximum_likelihood(arrays(x, batch=COUNT, shuffle=False), DENSITY)
    return _known(grammar, x.mean(0), torch.cov(x.T, correction=0))


def posterior(seed: int) -> Grammar:
    """Make a grammar that fits a Gaussian with a conjugate prior; each batch is the whole data set.

    The known solution is the posterior mode (Gelman et al., Bayesian Data Analysis, 3.6).
    """
    x = points(seed)
    away, strength = x.mean(0) - CENTER, STRENGTH + COUNT
    scale = SCALE + COUNT * torch.cov(x.T, correction=0) + STRENGTH * COUNT / strength * torch.outer(away, away)
    grammar = maximum_a_posteriori(arrays(x, batch=COUNT, shuffle=False), DENSITY, PRIOR, COUNT)
    return _known(grammar, (STRENGTH * CENTER + x.sum(0)) / strength, scale / (FREEDOM + COUNT + SIZE + 2))


def points(seed: int) -> Tensor:
    """Draw examples from a correlated Gaussian: (COUNT, SIZE), float64."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(COUNT, SIZE, generator=generator, dtype=torch.float64)
    return drawn @ torch.tensor([[1.0, 0.4], [0.0, 0.7]]).double() + 1


def from_gaussian(modules: dict[str, nn.Module], values: object, mean: Tensor, covariance: Tensor) -> Tensor:
    """Return the largest difference of Estimator's mean and covariance from the given mean and covariance, 0-d."""
    estimator = modules["Estimator"]
    density = estimator if isinstance(estimator, GaussianDensity) else estimator.get_submodule("module")
    assert isinstance(density, GaussianDensity)  # the suite makes no other
    return torch.cat([(density.mean - mean)[None], density.covariance - covariance]).abs().max()


def _known(grammar: Grammar, mean: Tensor, covariance: Tensor) -> Grammar:
    distance = Factory.of(from_gaussian, mean=mean, covariance=covariance)
    known = promised(Learned(("Estimator",), distance, 1e-6, "mean and covariance"), Arrives())
    return replace(grammar, guarantee=grammar.guarantee + known)


SUITE = Suite(
    "likelihood",
    (
        Case("Gaussians", sampled, instances=10),
        Case("maximum likelihood", likeliest, instances=1, learning=DESCENT),
        Case("maximum a posteriori", posterior, instances=1, learning=DESCENT),
    ),
)
