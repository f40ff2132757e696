"""Representation 2: the likeliest Gaussian, and the likeliest under a conjugate prior, are known in closed form."""

import pytest
import torch
from scipy.stats import invwishart, multivariate_normal
from torch.testing import assert_close

from antiphon.agents import AgentSpecification
from antiphon.envs import arrays
from antiphon.grammars.factory import Factory
from antiphon.grammars.guarantee import Category
from antiphon.grammars.library import maximum_a_posteriori, maximum_likelihood
from antiphon.grammars.library.densities import GaussianDensity, normal_inverse_wishart

F64 = torch.float64
SIZE, COUNT = 3, 50
DESCENT = AgentSpecification.of("SGD", {"lr": 0.1, "momentum": 0.8})
CENTER = torch.tensor([1.0, -1.0, 0.5], dtype=F64)
SCALE = 2 * torch.eye(SIZE, dtype=F64) + 0.3
PRIOR = {"center": CENTER, "scale": SCALE, "strength": 7.0, "freedom": 9.0}
DENSITY = Factory.of(GaussianDensity, SIZE, F64)


@pytest.fixture(scope="module")
def points() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.eye(SIZE, dtype=F64) + 0.4 * torch.randn(SIZE, SIZE, generator=generator, dtype=F64)
    return torch.randn(COUNT, SIZE, generator=generator, dtype=F64) @ mixing + 2


@pytest.fixture
def anywhere() -> GaussianDensity:
    """A Gaussian at parameters drawn at random."""
    density, generator = GaussianDensity(SIZE, F64), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in density.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=F64))
    return density


def made(parameters: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance of the parameters, whose names may have a prefix."""
    density = GaussianDensity(SIZE, F64)
    density.load_state_dict({name.removeprefix("module."): value for name, value in parameters.items()})
    return density.mean.detach(), density.covariance.detach()


def test_the_likeliest_gaussian_has_the_sample_mean_and_the_biased_covariance(points, learned):
    game = maximum_likelihood(arrays(points, batch=COUNT), DENSITY)
    mean, covariance = made(learned(game, DESCENT, 500)["Estimator"])
    assert_close(mean, points.mean(0), rtol=0, atol=1e-6)
    assert_close(covariance, torch.cov(points.T, correction=0), rtol=0, atol=1e-6)


def test_with_a_conjugate_prior_the_posterior_mode_is_reached(points, learned):
    prior = Factory.of(normal_inverse_wishart, **PRIOR)
    game = maximum_a_posteriori(arrays(points, batch=COUNT), DENSITY, prior, COUNT)
    mean, covariance = made(learned(game, DESCENT, 500)["Estimator"])
    # Gelman et al., Bayesian Data Analysis, section 3.6: the posterior is normal inverse Wishart again.
    strength, freedom = 7.0 + COUNT, 9.0 + COUNT
    away = points.mean(0) - CENTER
    scatter = COUNT * torch.cov(points.T, correction=0)
    scale = SCALE + scatter + 7.0 * COUNT / strength * torch.outer(away, away)
    assert_close(mean, (7.0 * CENTER + points.sum(0)) / strength, rtol=0, atol=1e-6)
    assert_close(covariance, scale / (freedom + SIZE + 2), rtol=0, atol=1e-6)


def test_the_log_density_is_the_gaussians(points, anywhere):
    expected = multivariate_normal.logpdf(points, anywhere.mean.detach(), anywhere.covariance.detach())
    assert_close(anywhere(points).detach(), torch.from_numpy(expected), rtol=1e-12, atol=1e-12)


def test_the_log_prior_is_the_normal_inverse_wisharts(anywhere):
    mean, covariance = anywhere.mean.detach(), anywhere.covariance.detach()
    expected = multivariate_normal.logpdf(mean, CENTER, covariance / 7.0) + invwishart.logpdf(covariance, 9.0, SCALE)
    assert normal_inverse_wishart(anywhere, **PRIOR).item() == pytest.approx(expected, rel=1e-12)


def test_a_gaussian_of_one_dimension(learned):
    x = torch.tensor([[1.0], [2.0], [6.0]], dtype=F64)
    found = learned(maximum_likelihood(arrays(x, batch=3), Factory.of(GaussianDensity, 1, F64)), DESCENT, 800)
    assert found["Estimator"]["mean"].item() == pytest.approx(3, abs=1e-6)
    assert found["Estimator"]["log_diagonal"].exp().square().item() == pytest.approx(14 / 3, abs=1e-6)


@pytest.mark.parametrize("prior", [False, True])
def test_the_response_is_the_gradient_of_the_objective(points, told, prior):
    nature = arrays(points, torch.arange(COUNT), batch=10)  # of labels nothing is made
    log_prior = Factory.of(normal_inverse_wishart, **PRIOR)
    game = maximum_a_posteriori(nature, DENSITY, log_prior, COUNT) if prior else maximum_likelihood(nature, DENSITY)
    found, expected, _ = told(game)
    for one, two in zip(found["Estimator"], expected["Estimator"], strict=True):
        assert_close(one, two, rtol=1e-12, atol=1e-12)
    assert game.guarantee.categories == (Category.EXACT,)
    assert repr(game.objective) == ("minimise Surprise + Prior" if prior else "minimise Surprise")
