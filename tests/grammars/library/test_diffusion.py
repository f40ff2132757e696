"""Diffusion: noise is mixed with the variance that is said, and the best Denoiser makes what it was trained on."""

import math

import pytest
import torch

from antiphon.checks.suites.diffusion import NormalDenoiser, dense
from antiphon.grammars.library.diffusion import mix, sampled, signal_share
from antiphon.grammars.precision import in_float64
from antiphon.grammars.promotion import in_double
from antiphon.grammars.query import Port


def test_denoiser_receives_the_gradient_of_the_error_of_the_noise(first_round):
    grammar = in_float64(dense(0))
    with in_double():
        told, composed = first_round(grammar)
        x, eps, time = (composed.values[Port(f"{name}.sample")] for name in ("Environment", "Noise", "Clock"))
        share = torch.cos((0.008 + time) / 1.016 * torch.pi / 2)[:, None] ** 2
        module = composed.modules["Denoiser"]
        loss = (eps - module(share**0.5 * x + (1 - share) ** 0.5 * eps, time)).square().mean()
        found = torch.autograd.grad(loss, [*module.parameters()])
        assert all(torch.allclose(*pair, rtol=1e-10, atol=0) for pair in zip(told["Denoiser"], found, strict=True))


def test_the_share_of_the_signal_falls_from_one_to_zero():
    share = signal_share(torch.linspace(0, 1, 100, dtype=torch.float64))
    assert bool((share.diff() < 0).all())
    assert share[0] > 0.999 and 0 <= share[-1] < 1e-3


def test_a_mixture_of_unit_variances_has_unit_variance():
    x, eps = torch.randn(2, 20000, 1, generator=torch.Generator().manual_seed(0))
    for time in (0.1, 0.5, 0.9):
        assert mix(x, eps, torch.full((20000,), time)).var().item() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("scale", [0.3, 2.0])
def test_the_best_denoiser_of_a_normal_distribution_makes_it_from_noise(scale):
    denoiser = NormalDenoiser().double()
    torch.nn.init.constant_(denoiser.log_scale, math.log(scale))
    start = torch.randn(5000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    made = sampled(denoiser, start, steps=400)
    assert made.std().item() == pytest.approx(scale, rel=0.05)
