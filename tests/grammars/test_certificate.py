"""A certificate tells the gradient and the smallest curvature: against closed forms and torch.func."""

import pytest
import torch

from antiphon.grammars.certificate import Verdict, certify
from antiphon.grammars.objective import Direction


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def symmetric(size: int, seed: int = 0) -> torch.Tensor:
    matrix = draw(size, size, seed=seed)
    return (matrix + matrix.T) / 2


def with_spectrum(eigenvalues: torch.Tensor, seed: int = 0) -> torch.Tensor:
    basis, _ = torch.linalg.qr(draw(len(eigenvalues), len(eigenvalues), seed=seed))
    return basis @ torch.diag(eigenvalues) @ basis.T


def quadratic(matrix: torch.Tensor):
    return lambda theta: theta @ matrix @ theta / 2


def crooked(theta):
    return theta.sin().prod() + (theta.roll(1) * theta).exp().sum()


@pytest.mark.parametrize("direction", Direction)
def test_gradient_and_curvature_are_those_of_torch_func(direction):
    theta, sign = draw(7), 1 if direction is Direction.MINIMISE else -1
    found = certify(crooked, theta, direction)
    hessian = sign * torch.func.hessian(crooked)(theta)
    assert found.gradient_norm == pytest.approx(float(torch.func.grad(crooked)(theta).norm()), rel=1e-12)
    assert found.curvature == pytest.approx(float(torch.linalg.eigvalsh(hessian)[0]), rel=1e-10)
    assert (found.products, found.exact, found.verdict) == (7, True, Verdict.MOVING)


@pytest.mark.parametrize(
    ("eigenvalues", "low", "high"),
    [
        ((1.0, 2.0, 3.0), Verdict.STRICT, Verdict.SADDLE),
        ((-1.0, -2.0, -3.0), Verdict.SADDLE, Verdict.STRICT),
        ((-1.0, 2.0, 3.0), Verdict.SADDLE, Verdict.SADDLE),
        ((0.0, 2.0, 3.0), Verdict.UNDECIDED, Verdict.SADDLE),
        ((0.0, 0.0, 0.0), Verdict.UNDECIDED, Verdict.UNDECIDED),
    ],
)
def test_a_minimum_is_a_minimum_of_what_is_minimised_and_a_maximum_of_what_is_maximised(eigenvalues, low, high):
    """Definition 4 with its slip put right."""
    function, theta = quadratic(with_spectrum(torch.tensor(eigenvalues, dtype=torch.float64))), draw(3) * 0
    assert certify(function, theta, Direction.MINIMISE).verdict is low
    assert certify(function, theta, Direction.MAXIMISE).verdict is high


def test_lanczos_finds_the_smallest_eigenvalue():
    matrix = symmetric(300)
    found = certify(quadratic(matrix), torch.zeros(300, dtype=torch.float64))
    smallest = float(torch.linalg.eigvalsh(matrix)[0])
    assert not found.exact
    assert found.products == 80
    assert smallest - 1e-12 <= found.curvature <= smallest + found.resolution
    assert found.curvature == pytest.approx(smallest, rel=1e-6)
    assert found.verdict is Verdict.SADDLE


def test_lanczos_to_the_end_is_exact():
    matrix = symmetric(20)
    found = certify(quadratic(matrix), torch.zeros(20, dtype=torch.float64), exactly_up_to=0)
    assert found.curvature == pytest.approx(float(torch.linalg.eigvalsh(matrix)[0]), rel=1e-10)


def test_lanczos_sees_one_bad_direction_among_hundreds():
    eigenvalues = torch.linspace(1, 2, 400, dtype=torch.float64)
    eigenvalues[17] = -0.01
    found = certify(quadratic(with_spectrum(eigenvalues)), torch.zeros(400, dtype=torch.float64))
    assert found.verdict is Verdict.SADDLE
    assert found.curvature == pytest.approx(-0.01, rel=1e-6)


def test_lanczos_stops_where_nothing_is_new():
    found = certify(lambda theta: theta.square().sum(), torch.zeros(500, dtype=torch.float64))
    assert (found.products, found.verdict) == (1, Verdict.STRICT)
    assert found.curvature == pytest.approx(2.0)


@pytest.mark.parametrize("size", [3, 300])
def test_what_is_linear_is_flat(size):
    found = certify(lambda theta: theta.sum(), torch.zeros(size, dtype=torch.float64))
    assert (found.curvature, found.verdict) == (0.0, Verdict.MOVING)


def test_nan_is_no_optimum():
    found = certify(lambda theta: theta.sum() * torch.nan, torch.zeros(2), tolerance=1.0)
    assert found.verdict is Verdict.MOVING


def test_it_can_be_read():
    found = certify(lambda theta: theta.square().sum(), torch.ones(2, dtype=torch.float64))
    assert repr(found) == ("moving: gradient 2.83 (tolerance 1e-06), smallest curvature 2 (exact, resolution 2.98e-08)")
