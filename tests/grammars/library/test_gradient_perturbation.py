"""The gradient-perturbation lemma at four noise scales: in closed form, by regression, and by DAC's own Deviator
(essay, section 2.4; Balduzzi and Ghifary 2015)."""

import functools

import pytest
import torch
from torch import Tensor

from antiphon.checks.suites.dac_bandit import MU, SCALES, faded_slope, learned_slope, waves


def off(found: Tensor, expected: Tensor) -> float:
    """The relative error."""
    return float((found - expected).norm() / expected.norm())


@functools.cache
def learned(sigma: float) -> Tensor:
    """Deviator's G at last, of an Actor who holds still."""
    return learned_slope(sigma, seed=3, rounds=500, batch=4096)


def test_the_closed_form_is_the_gradient_in_the_limit():
    mu = MU.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(waves(mu, mu.unsqueeze(0)).sum(), mu)
    torch.testing.assert_close(faded_slope(0.0), gradient, rtol=1e-12, atol=1e-12)
    errors = [off(faded_slope(sigma), gradient) for sigma in SCALES]
    # The error is of second order in sigma: a tenth of the noise, a hundredth of the error.
    assert errors[0] > 0.8 > 0.3 > errors[1] > 10 * errors[3]
    assert errors[2] / errors[3] == pytest.approx((0.1 / 0.03) ** 2, rel=0.02)


@pytest.mark.parametrize("sigma", SCALES)
def test_regression_on_the_deviation_finds_the_closed_form(sigma):
    eps = sigma * torch.randn(400_000, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    design = torch.cat([eps, torch.ones(len(eps), 1, dtype=torch.float64)], 1)
    rewarded = waves(eps, MU + eps)
    solution = torch.linalg.lstsq(design, rewarded).solution
    # What regression leaves over is noise; each coefficient's standard error is its deviation / (sigma n^(1/2)).
    error = (rewarded - design @ solution).std() / (sigma * len(eps) ** 0.5)
    assert (solution[:5] - faded_slope(sigma)).norm() < 2 * 5**0.5 * error < 0.1 * sigma


@pytest.mark.parametrize("sigma", SCALES)
def test_deviator_finds_the_closed_form(sigma):
    assert off(learned(sigma), faded_slope(sigma)) < 0.1 * sigma


def test_the_less_noise_the_nearer_is_deviator_to_the_gradient():
    errors = [off(learned(sigma), faded_slope(0.0)) for sigma in SCALES]
    expected = [off(faded_slope(sigma), faded_slope(0.0)) for sigma in SCALES]
    assert errors == pytest.approx(expected, rel=0.1, abs=0.002)
