"""Noise draws from what it says, tells its density, and forgets nothing because it remembers nothing."""

import math

import pytest
import torch

from antiphon.errors import OracleError
from antiphon.grammars.oracle import Box
from antiphon.grammars.types import Batch, EdgeType
from antiphon.oracles.noise import Annealing, gaussian, rademacher, uniform
from antiphon.oracles.ornstein_uhlenbeck import ornstein_uhlenbeck
from antiphon.testing import check_oracle

DECLARATIONS = {
    "gaussian": gaussian((3,), batch=4),
    "scalars": gaussian((), batch=4, symbol="envs", scale=0.1),
    "annealed float64": gaussian((2, 3), batch=2, scale=Annealing(1.0, 0.1, rounds=3), dtype=torch.float64),
    "uniform": uniform((2,), batch=3, low=-2.0, high=5.0),
    "rademacher": rademacher((3,), batch=4, scale=0.1),
    "ornstein-uhlenbeck": ornstein_uhlenbeck((3,), batch=4, scale=Annealing(1.0, 0.1, rounds=3), theta=0.3),
}


@pytest.mark.parametrize("name", DECLARATIONS)
def test_noise_conforms(name):
    check_oracle(DECLARATIONS[name])


def test_the_declaration_types_the_questions():
    declaration = gaussian((3,), batch=4, symbol="envs")
    assert declaration.sizes == (("envs", 4),)
    sample, density, scale = declaration.questions
    assert sample.outputs == density.inputs == (EdgeType((Batch("envs"), 3)),)
    assert density.outputs == (EdgeType((Batch("envs"),)),)
    assert density.box is Box.GRAY
    assert scale.outputs == (EdgeType(()),)


def test_equal_declarations_are_equal_values():
    assert gaussian((3,), batch=4) == gaussian((3,), batch=4) != gaussian((3,), batch=4, scale=2.0)
    assert hash(gaussian((3,), batch=4)) == hash(gaussian((3,), batch=4))


def test_a_draw_depends_on_seed_and_round_only():
    one, other = (gaussian((3,), batch=4).make(seed=5) for _ in range(2))
    one.answer("sample", (), 0)
    assert torch.equal(one.answer("sample", (), 7)[0], other.answer("sample", (), 7)[0])
    assert not torch.equal(one.answer("sample", (), 8)[0], other.answer("sample", (), 9)[0])
    assert not torch.equal(
        gaussian((3,), batch=4).make(seed=6).answer("sample", (), 8)[0], other.answer("sample", (), 8)[0]
    )


def test_two_draws_of_one_round_differ():
    noise = gaussian((3,), batch=4).make(seed=5)
    first, second = noise.answer("sample", (), 0)[0], noise.answer("sample", (), 0)[0]
    assert not torch.equal(first, second)


@pytest.mark.parametrize("scale", [0.5, Annealing(2.0, 0.5, rounds=10)])
def test_gaussian_moments(scale):
    (eps,) = gaussian((1,), batch=100_000, scale=scale).make(seed=0).answer("sample", (), 10)
    assert eps.mean().item() == pytest.approx(0.0, abs=0.01)
    assert eps.std().item() == pytest.approx(0.5, abs=0.01)


def test_uniform_fills_its_interval():
    (eps,) = uniform((1,), batch=10_000, low=2.0, high=5.0).make(seed=0).answer("sample", (), 0)
    assert (eps.min().item(), eps.max().item()) == pytest.approx((2.0, 5.0), abs=0.01)


def test_rademacher_is_a_fair_sign_times_the_scale():
    noise = rademacher((4,), batch=20_000, scale=Annealing(1.0, 0.5, rounds=10), dtype=torch.float64).make(seed=0)
    (eps,) = noise.answer("sample", (), 10)
    assert eps.unique().tolist() == [-0.5, 0.5]
    assert eps.mean(0).abs().max() < 0.02 * 0.5
    # Signs of one draw know nothing of each other.
    assert (eps.T @ eps / len(eps) - 0.25 * torch.eye(4)).abs().max() < 0.03 * 0.25


def test_rademacher_density():
    noise = rademacher((2,), batch=2, scale=0.1).make(seed=0)
    eps = torch.tensor([[0.1, -0.1], [0.1, 0.3]], requires_grad=True)
    (density,) = noise.answer("log_density", (eps,), 0)
    assert density.tolist() == pytest.approx([-2 * math.log(2.0), -math.inf])
    (gradient,) = torch.autograd.grad(density[0], eps)
    assert not gradient.any()


def test_gaussian_density_and_its_gradient():
    noise = gaussian((3,), batch=4, scale=Annealing(1.0, 0.2, rounds=8), dtype=torch.float64).make(seed=0)
    eps = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (density,) = noise.answer("log_density", (eps,), 4)
    expected = torch.distributions.Normal(0.0, 0.6).log_prob(eps).sum(1)
    torch.testing.assert_close(density, expected)
    (gradient,) = torch.autograd.grad(density.sum(), eps)
    torch.testing.assert_close(gradient, -eps.detach() / 0.36)


def test_uniform_density():
    noise = uniform((2,), batch=2, low=0.0, high=4.0).make(seed=0)
    (density,) = noise.answer("log_density", (torch.tensor([[1.0, 2.0], [1.0, 5.0]]),), 0)
    assert density.tolist() == pytest.approx([-2 * math.log(4.0), -math.inf])


def test_scale_is_told():
    noise = gaussian((1,), batch=1, scale=Annealing(1.0, 0.5, rounds=2, hold=1)).make(seed=0)
    told = [noise.answer("scale", (), round)[0].item() for round in range(5)]
    assert told == pytest.approx([1.0, 1.0, 0.75, 0.5, 0.5])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: uniform((1,), batch=1, dtype=torch.int64),
            "uniform: expected a floating dtype; torch.int64 arrived. Pass torch.float32 or torch.float64.",
        ),
        (
            lambda: uniform((1,), batch=1, low=1.0, high=1.0),
            "uniform: expected low below high; low=1.0, high=1.0 arrived. Correct one of them.",
        ),
    ],
)
def test_refusals(make, text):
    with pytest.raises(OracleError) as refused:
        make()
    assert str(refused.value) == text


def test_a_path_has_its_deviation_at_every_time_and_the_correlation_of_its_rate():
    oracle = ornstein_uhlenbeck((), batch=40_000, scale=0.5, theta=0.3, dtype=torch.float64).make(seed=0)
    path = torch.stack([oracle.answer("sample", (), round)[0] for round in range(4)])
    assert path.std(1).tolist() == pytest.approx([0.5] * 4, rel=0.02)
    assert torch.corrcoef(path)[0].tolist() == pytest.approx([0.7**age for age in range(4)], abs=0.02)


def test_a_path_is_the_process_of_other_libraries_with_its_rate_and_step():
    """eps' = eps - rate eps dt + volatility sqrt(dt) xi, as Stable-Baselines3 and others write it."""
    rate, dt, volatility = 0.15, 0.5, 0.2
    kept = 1 - rate * dt
    sigma = volatility * math.sqrt(dt / (1 - kept**2))
    oracle = ornstein_uhlenbeck((2,), batch=3, scale=sigma, theta=rate * dt, dtype=torch.float64).make(seed=0)
    path = oracle.answer("sample", (), 0)[0]
    for round in range(1, 5):
        plain = ornstein_uhlenbeck((2,), batch=3, theta=1.0, dtype=torch.float64).make(seed=0)
        xi = plain.answer("sample", (), round)[0]
        path = path - rate * path * dt + volatility * math.sqrt(dt) * xi
        torch.testing.assert_close(oracle.answer("sample", (), round)[0], path)
