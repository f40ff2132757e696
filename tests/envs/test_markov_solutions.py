"""Closed forms against what others published, and against what defines them."""

import pytest
import torch
from torch.testing import assert_close

from antiphon.envs import markov_solutions
from antiphon.envs.markov_examples import baird_policies, baird_star, boyan_chain, random_walk
from antiphon.envs.markov_process import MarkovProcess
from antiphon.envs.transitions import Outcomes

F64 = torch.float64
GAMMA = 0.8


@pytest.fixture(scope="module")
def process() -> MarkovProcess:
    """Six states, two actions, three features, an end; drawn at random."""
    generator = torch.Generator().manual_seed(5)
    transitions = torch.rand(6, 2, 6, generator=generator, dtype=F64)
    transitions /= transitions.sum(-1, keepdim=True)
    rewards = torch.randn(6, 2, 6, generator=generator, dtype=F64)
    features = torch.randn(6, 3, generator=generator, dtype=F64)
    terminal = torch.arange(6) == 5
    return MarkovProcess(transitions, rewards, terminal, torch.eye(6, dtype=F64)[0], features)


@pytest.fixture(scope="module")
def policy() -> torch.Tensor:
    drawn = torch.rand(6, 2, generator=torch.Generator().manual_seed(6), dtype=F64)
    return drawn / drawn.sum(1, keepdim=True)


def test_the_values_of_the_random_walk_are_the_published_ones():
    walk = random_walk(5, F64)
    values = markov_solutions.state_values(walk, walk.uniform_policy, 1.0)
    assert_close(values, torch.tensor([0, 1, 2, 3, 4, 5, 0], dtype=F64) / 6)


def test_boyans_values_are_linear_in_his_features():
    chain = boyan_chain(F64)
    assert_close(markov_solutions.state_values(chain, chain.uniform_policy, 1.0), -2 * torch.arange(13, dtype=F64))
    theta = torch.tensor([-24.0, -16.0, -8.0, 0.0], dtype=F64)
    assert_close(
        markov_solutions.projected_fixpoint(chain, chain.uniform_policy, 1.0, chain.uniform_distribution), theta
    )


def test_on_bairds_star_every_value_is_zero():
    star = baird_star(F64)
    assert_close(markov_solutions.state_values(star, baird_policies()[1], 0.99), torch.zeros(7, dtype=F64))


def test_values_are_what_backups_converge_to(process, policy):
    values, by_action = torch.zeros(6, dtype=F64), torch.zeros(6, 2, dtype=F64)
    for _ in range(300):
        told = process.rewards + GAMMA * torch.where(process.terminal, 0.0, values)
        by_action = torch.einsum("sat,sat->sa", process.transitions, told)
        values = (policy * by_action).sum(1)
    assert_close(markov_solutions.state_values(process, policy, GAMMA)[:-1], values[:-1])
    assert_close(markov_solutions.action_values(process, policy, GAMMA)[:-1], by_action[:-1])
    assert markov_solutions.action_values(process, policy, GAMMA)[-1].tolist() == [0, 0]


def test_at_the_projected_fixpoint_the_expected_update_is_nothing(process, policy):
    evenly = process.uniform_distribution
    theta = markov_solutions.projected_fixpoint(process, policy, GAMMA, evenly)
    values = process.features @ theta
    error = process.expected_rewards(policy) + GAMMA * process.continuing(policy) @ values - values
    assert_close((evenly * error) @ process.features, torch.zeros(3, dtype=F64), rtol=0, atol=1e-14)
    assert markov_solutions.projected_error(process, policy, GAMMA, evenly, theta) < 1e-28
    assert markov_solutions.projected_error(process, policy, GAMMA, evenly, theta + 0.1) > 1e-4


def test_the_projected_error_is_that_of_the_projection(process, policy):
    evenly, theta = process.uniform_distribution, torch.tensor([0.3, -1.0, 2.0], dtype=F64)
    values = process.features @ theta
    error = process.expected_rewards(policy) + GAMMA * process.continuing(policy) @ values - values
    root = evenly.sqrt()
    weights = torch.linalg.lstsq(root[:, None] * process.features, root[:, None] * error[:, None]).solution
    projected = (process.features @ weights)[:, 0]
    assert markov_solutions.projected_error(process, policy, GAMMA, evenly, theta) == pytest.approx(
        float(evenly @ projected.square())
    )


@pytest.mark.parametrize("minimum", [markov_solutions.residual_minimum, markov_solutions.biased_residual_minimum])
def test_at_a_minimum_the_gradient_is_nothing(process, policy, minimum):
    evenly = process.uniform_distribution
    theta = minimum(process, policy, GAMMA, evenly).requires_grad_()
    rows = Outcomes.of(process, policy, policy, evenly)
    values = process.features @ theta
    told = process.rewards[rows.state, rows.action, rows.after]
    errors = told + GAMMA * torch.where(process.terminal[rows.after], 0.0, values[rows.after]) - values[rows.state]
    if minimum is markov_solutions.residual_minimum:
        expected = torch.zeros(6, dtype=F64).index_add(0, rows.state, rows.chance * errors)
        loss = (expected[:5].square() / evenly[:5]).sum()
    else:
        loss = rows.chance @ errors.square()
    (gradient,) = torch.autograd.grad(loss, theta)
    assert_close(gradient, torch.zeros(3, dtype=F64), rtol=0, atol=1e-14)


def test_the_stationary_distribution_is_that_of_a_long_walk(process, policy):
    often = markov_solutions.stationary(process, policy)
    chain = torch.einsum("sa,sat->st", policy, process.transitions)
    stays = chain.clone()
    stays[:, 0] += chain[:, 5]  # an episode begins again where its end would have been
    stays[:, 5] = 0
    assert_close(often, torch.linalg.matrix_power(stays, 200)[0])
    walk = random_walk(5, F64)
    assert_close(
        markov_solutions.stationary(walk, walk.uniform_policy), torch.tensor([0, 1, 2, 3, 2, 1, 0], dtype=F64) / 9
    )
