"""Closed-form solutions of Markov decision processes, by linear algebra in float64.

Arguments of all functions: policy: probabilities, (states, actions). gamma: the discount factor. distribution:
distribution of the states, (states,).
"""

import torch
from torch import Tensor

from antiphon.envs.markov_process import MarkovProcess
from antiphon.envs.transitions import Outcomes


def state_values(process: MarkovProcess, policy: Tensor, gamma: float) -> Tensor:
    """Return V(s), (states,), the solution of the Bellman equation V = r + gamma P V; 0 in terminal states."""
    inner = ~process.terminal
    matrix = (torch.eye(process.states).double() - gamma * process.continuing(policy))[inner][:, inner]
    values = torch.zeros(process.states, dtype=torch.float64)
    values[inner] = torch.linalg.solve(matrix, process.expected_rewards(policy)[inner])
    return values


def action_values(process: MarkovProcess, policy: Tensor, gamma: float) -> Tensor:
    """Return Q(s, a) = E[r + gamma V(s') | s, a], (states, actions); 0 in terminal states.

    V is the value of the policy.
    """
    told = process.rewards + gamma * state_values(process, policy, gamma)
    values = torch.einsum("sat,sat->sa", process.transitions, told)
    return torch.where(process.terminal[:, None], 0.0, values)


def projected_fixpoint(process: MarkovProcess, policy: Tensor, gamma: float, distribution: Tensor) -> Tensor:
    """Return the parameters theta, (width,), of the linear value <theta, phi(s)> at which TD(0) with semi-gradients is
    at rest.

    theta = A^-1 b with A = phi' D (phi - gamma P phi) and b = phi' D r, where D is the diagonal matrix of the
    distribution.
    """
    features, change = _features(process, policy, gamma)
    weighted = features.T * distribution
    return torch.linalg.solve(weighted @ change, weighted @ process.expected_rewards(policy))


def residual_minimum(process: MarkovProcess, policy: Tensor, gamma: float, distribution: Tensor) -> Tensor:
    """Return the parameters theta, (width,), of the linear value <theta, phi(s)> that minimise E[(E[error | s])^2].

    This is the mean squared Bellman residual, over states s from `distribution`. The error is that of one transition.
    """
    _, change = _features(process, policy, gamma)
    root = distribution.sqrt()
    return _least_squares(root[:, None] * change, root * process.expected_rewards(policy))


def biased_residual_minimum(process: MarkovProcess, policy: Tensor, gamma: float, distribution: Tensor) -> Tensor:
    """Return the parameters theta, (width,), of the linear value <theta, phi(s)> that minimise E[error^2].

    The error is the Bellman error of a single transition. This mean includes the variance of the error, so the minimum
    is biased.
    """
    rows = Outcomes.of(process, policy, policy, distribution)
    features = process.features.double()
    ongoing = (~process.terminal[rows.after]).double()[:, None]
    change = features[rows.state] - gamma * ongoing * features[rows.after]
    root = rows.chance.sqrt()
    return _least_squares(root[:, None] * change, root * process.rewards[rows.state, rows.action, rows.after])


def projected_error(process: MarkovProcess, policy: Tensor, gamma: float, distribution: Tensor, theta: Tensor) -> float:
    """Return the mean squared projected Bellman error of the linear value <theta, phi(s)>: b' C^+ b.

    b = E[error phi], C = E[phi phi'], over states from `distribution`.
    """
    features, change = _features(process, policy, gamma)
    expected = (features.T * distribution) @ (process.expected_rewards(policy) - change @ theta.double())
    return float(expected @ torch.linalg.pinv((features.T * distribution) @ features) @ expected)


def stationary(process: MarkovProcess, policy: Tensor) -> Tensor:
    """Return the fraction of time that an endless walk spends in each state, (states,).

    After the end of an episode, the next one begins at `start`; terminal states take no time.
    """
    ending = 1 - process.continuing(policy).sum(1)
    chain = process.continuing(policy) + ending[:, None] * process.start.double()
    chain[process.terminal] = process.start.double()
    equations = torch.cat([chain.T - torch.eye(process.states), torch.ones(1, process.states)]).double()
    sums = torch.zeros(process.states + 1, dtype=torch.float64)
    sums[-1] = 1
    return torch.where(process.terminal, 0.0, _least_squares(equations, sums))


def _features(process: MarkovProcess, policy: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """Return the matrices phi and phi - gamma P phi, (states, width) each. phi: the features of all states."""
    features = process.features.double()
    return features, features - gamma * process.continuing(policy) @ features


def _least_squares(matrix: Tensor, target: Tensor) -> Tensor:
    return torch.linalg.lstsq(matrix, target[:, None], driver="gelsd").solution[:, 0]
