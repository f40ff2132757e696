"""The closed forms are those of scipy, of automatic differentiation, and of play."""

import numpy as np
import pytest
import torch
from scipy.linalg import solve_discrete_are

from antiphon.envs import riccati
from antiphon.envs.riccati import Regulator
from antiphon.errors import OracleError

SIGMA = 0.3


def system(seed: int = 0, state: int = 3, action: int = 2) -> Regulator:
    """A random regulator, whose uncontrolled drift is stable."""
    draw = np.random.default_rng(seed)
    drift = draw.normal(size=(state, state))
    drift *= 0.9 / abs(np.linalg.eigvals(drift)).max()
    root = draw.normal(size=(action, action))
    matrices = drift, draw.normal(size=(state, action)), np.eye(state), np.eye(action) + root @ root.T
    return Regulator(*map(torch.from_numpy, matrices), process=0.2, start=1.0, gamma=0.9)


def gain_of(one: Regulator, seed: int = 1) -> torch.Tensor:
    """A stable gain that is not the best: halfway to it, and a little beside."""
    state, action = one.widths
    beside = 0.05 * torch.randn(action, state, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return 0.5 * riccati.optimal_gain(one) + beside


@pytest.mark.parametrize("seed", range(5))
def test_the_best_gain_is_that_of_scipys_riccati_solver(seed):
    one = system(seed)
    drift, control, c, d = (each.numpy() for each in (one.drift, one.control, one.state_cost, one.action_cost))
    scaled, pushed = one.gamma**0.5 * drift, one.gamma**0.5 * control
    value = solve_discrete_are(scaled, pushed, c, d)
    expected = -np.linalg.solve(d + pushed.T @ value @ pushed, pushed.T @ value @ scaled)
    best = riccati.optimal_gain(one)
    np.testing.assert_allclose(best.numpy(), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(riccati.value_matrix(one, best).numpy(), value, rtol=1e-9)
    assert riccati.policy_gradient(one, best, SIGMA).abs().max() < 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_slope_and_gradient_are_those_of_automatic_differentiation(seed):
    one = system(seed)
    gain = gain_of(one).requires_grad_()
    (expected,) = torch.autograd.grad(riccati.mean_cost(one, gain, SIGMA), gain)
    torch.testing.assert_close(riccati.policy_gradient(one, gain, SIGMA).detach(), expected, rtol=1e-9, atol=1e-12)
    states = torch.randn(7, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    actions = (states @ gain.detach().T).requires_grad_()
    (slopes,) = torch.autograd.grad(riccati.action_value(one, gain.detach(), states, actions).sum(), actions)
    torch.testing.assert_close(states @ riccati.slope_matrix(one, gain.detach()).T, slopes, rtol=1e-9, atol=1e-12)


def test_the_value_of_the_policys_own_action_is_the_policys():
    one = system()
    gain, states = gain_of(one), torch.randn(5, 3, dtype=torch.float64)
    found = riccati.action_value(one, gain, states, states @ gain.T)
    torch.testing.assert_close(found, riccati.policy_value(one, gain, states), rtol=1e-12, atol=0)


def test_the_value_of_noisy_actions_is_that_of_their_own_actions_on_average():
    one, copies = system(), 400_000
    gain, generator = gain_of(one), torch.Generator().manual_seed(0)
    state = torch.tensor([[1.0, -0.5, 0.3]], dtype=torch.float64).expand(copies, -1)
    actions = state @ gain.T + SIGMA * torch.randn(copies, 2, generator=generator, dtype=torch.float64)
    found = riccati.action_value(one, gain, state, actions, SIGMA)
    expected = riccati.policy_value(one, gain, state[:1], SIGMA).item()
    assert abs(found.mean() - expected) < 4 * found.std() / copies**0.5 < 0.01


def test_value_and_occupancy_are_those_of_play():
    one, copies, steps = system(), 40_000, 120
    gain, generator = gain_of(one), torch.Generator().manual_seed(0)

    def normal(width: int) -> torch.Tensor:
        return torch.randn(copies, width, generator=generator, dtype=torch.float64)

    state, cost, second = one.start * normal(3), torch.zeros(copies, dtype=torch.float64), torch.zeros(3, 3).double()
    for step in range(steps):
        action = state @ gain.T + SIGMA * normal(2)
        weight = one.gamma**step * (1 - one.gamma)
        cost += weight * ((state @ one.state_cost * state).sum(1) + (action @ one.action_cost * action).sum(1))
        second += weight * state.T @ state / copies
        state = state @ one.drift.T + action @ one.control.T + one.process * normal(3)
    expected = riccati.mean_cost(one, gain, SIGMA)
    assert abs(cost.mean() - expected) < 4 * cost.std() / copies**0.5 < 0.05 * expected
    torch.testing.assert_close(second, riccati.occupancy(one, gain, SIGMA), rtol=0.02, atol=0.02)


def test_matrices_that_do_not_fit_are_refused():
    eye = torch.eye(2, dtype=torch.float64)
    with pytest.raises(OracleError) as refused:
        Regulator(eye, eye, eye, eye[:1, :1], gamma=0.5)
    assert str(refused.value) == (
        "regulator: drift, control, state_cost and action_cost of the shapes [(2, 2), (2, 2), (2, 2), (1, 1)], "
        "discount 0.5; expected [(2, 2), (2, 2), (2, 2), (2, 2)], all float64, and a discount in [0, 1). "
        "Correct the one that is not."
    )
