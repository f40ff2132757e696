"""The two losses of the variational bound, against the densities of torch."""

import torch
from torch import distributions

from antiphon.grammars.variational import bernoulli, divergence, isotropic, standard_normal

D = torch.float64


def test_the_prior_is_a_standard_normal_of_all_dimensions():
    z = torch.randn(7, 3, dtype=D)
    expected = distributions.MultivariateNormal(torch.zeros(3, dtype=D), torch.eye(3, dtype=D)).log_prob(z)
    assert standard_normal(z).allclose(expected, rtol=1e-12)


def test_a_bernoulli_decoder_costs_minus_the_log_density_of_every_pixel():
    logits = torch.randn(7, 1, 2, 3, dtype=D)
    x = torch.bernoulli(torch.full_like(logits, 0.5))
    expected = -distributions.Bernoulli(logits=logits).log_prob(x).flatten(1).sum(1).mean()
    assert bernoulli(x, logits).allclose(expected, rtol=1e-12)


def test_an_isotropic_decoder_costs_minus_the_log_density_at_its_scale():
    x, mean, log_scale = torch.randn(7, 2, 3, dtype=D), torch.randn(7, 2, 3, dtype=D), torch.randn(7, dtype=D)
    normal = distributions.Normal(mean, log_scale.exp()[:, None, None])
    assert isotropic(x, mean, log_scale).allclose(-normal.log_prob(x).flatten(1).sum(1).mean(), rtol=1e-12)


def test_the_divergence_is_a_mean_of_differences_of_log_densities():
    assert divergence(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.5]), torch.tensor([0.0, -2.0])) == 2.0
