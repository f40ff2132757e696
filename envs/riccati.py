"""A discounted linear-quadratic regulator in closed form: values and gradients of linear policies.

All is float64 and made of torch operations, so that it can be compared with automatic differentiation. Sources:
Bertsekas 2012, Dynamic programming and optimal control, volume II, section 3.1 (the Riccati equation); Fazel et al.
2018, Global convergence of policy gradient methods for the linear quadratic regulator (the gradient).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from antiphon.errors import OracleError
from antiphon.grammars.typed import typed


@typed
@dataclass(frozen=True, eq=False)
class Regulator:
    """A linear system with quadratic costs: s_next = A s + B a + w, w ~ N(0, process^2 I); r = -(s'C s + a'D a).

    The first state is s_0 ~ N(0, start^2 I). gamma: the discount factor. s' is the transpose of s.

    drift (A): (state, state); control (B): (state, action); state_cost (C), action_cost (D): symmetric.
    """

    drift: Tensor
    control: Tensor
    state_cost: Tensor
    action_cost: Tensor
    process: float = 0.1
    start: float = 1.0
    gamma: float = 0.9

    def __post_init__(self) -> None:
        state, action, *_ = (*self.control.shape, 0, 0)
        matrices = (self.drift, self.control, self.state_cost, self.action_cost)
        found = [tuple(each.shape) for each in matrices]
        expected = [(state, state), (state, action), (state, state), (action, action)]
        if found != expected or any(each.dtype != torch.float64 for each in matrices) or not 0 <= self.gamma < 1:
            raise OracleError(
                f"regulator: drift, control, state_cost and action_cost of the shapes {found}, discount {self.gamma}; "
                f"expected {expected}, all float64, and a discount in [0, 1). Correct the one that is not."
            )

    @property
    def widths(self) -> tuple[int, int]:
        """The widths of the state vector and of the action vector."""
        state, action = self.control.shape
        return state, action


def value_matrix(system: Regulator, gain: Tensor) -> Tensor:
    """Return the matrix P, (state, state), of the policy a = K s, whose value is V(s) = -s'P s - `value_offset`.

    P solves P = C + K'D K + gamma (A + B K)'P (A + B K).
    A, B, C, D are the matrices of the system. gain (K): (action, state); gamma^(1/2) (A + B K) must be stable.
    """
    closed = system.drift + system.control @ gain
    stage = system.state_cost + gain.T @ system.action_cost @ gain
    return _fixed_point(system.gamma, closed.T, stage)


def value_offset(system: Regulator, gain: Tensor, sigma: float = 0.0) -> Tensor:
    """Return the part of the discounted cost that does not depend on the first state, 0-d.

    The part comes from the noise w of the system, and from the noise of the policy a = K s + eps with
    eps ~ N(0, sigma^2 I). gain (K): (action, state).
    """
    value = value_matrix(system, gain)
    drawn = system.gamma * system.process**2 * value.trace() + sigma**2 * _action_part(system, value)[1].trace()
    return drawn / (1 - system.gamma)


def policy_value(system: Regulator, gain: Tensor, state: Tensor, sigma: float = 0.0) -> Tensor:
    """Return the value V(s) of the policy a = K s + eps with eps ~ N(0, sigma^2 I): (batch, state) -> (batch,).

    gain (K): (action, state).
    """
    return -(_form(state, value_matrix(system, gain)) + value_offset(system, gain, sigma))


def action_value(system: Regulator, gain: Tensor, state: Tensor, action: Tensor, sigma: float = 0.0) -> Tensor:
    """Return Q(s, a), the value of taking a now and K s + eps afterwards: (batch, state), (batch, action) -> (batch,).

    gain (K): (action, state). eps ~ N(0, sigma^2 I).
    """
    after = state @ system.drift.T + action @ system.control.T
    pushed = system.process**2 * value_matrix(system, gain).trace()
    now = _form(state, system.state_cost) + _form(action, system.action_cost)
    return -now + system.gamma * (policy_value(system, gain, after, sigma) - pushed)


def slope_parts(system: Regulator, gain: Tensor) -> tuple[Tensor, Tensor]:
    """Return matrices X, (action, state), and Y, (action, action), with dQ/da = X s + Y a.

    Q(s, a) is the action value of the policy a = K s; gain (K): (action, state). Noise does not change this derivative.
    """
    coupling, curvature = _action_part(system, value_matrix(system, gain))
    return -2 * coupling, -2 * curvature


def slope_matrix(system: Regulator, gain: Tensor) -> Tensor:
    """Return the matrix M, (action, state), with dQ/da = M s at the action a = K s of the policy.

    Q(s, a) is the action value of the policy; gain (K): (action, state).
    """
    of_state, of_action = slope_parts(system, gain)
    return of_state + of_action @ gain


def occupancy(system: Regulator, gain: Tensor, sigma: float = 0.0) -> Tensor:
    """Return E[s s'], (state, state), over the discounted distribution of states under the policy a = K s + eps.

    These are the states of episodes that end after each step with probability 1 - gamma. gain (K): (action, state).
    """
    closed, identity = system.drift + system.control @ gain, torch.eye(len(system.drift), dtype=torch.float64)
    drawn = system.process**2 * identity + sigma**2 * system.control @ system.control.T
    begun = (1 - system.gamma) * system.start**2 * identity + system.gamma * drawn
    return _fixed_point(system.gamma, closed, begun)


def mean_cost(system: Regulator, gain: Tensor, sigma: float = 0.0) -> Tensor:
    """Return (1 - gamma) times the expected discounted cost of the policy a = K s + eps, 0-d: its mean cost per
    step.
    """
    begun = system.start**2 * value_matrix(system, gain).trace()
    return (1 - system.gamma) * (begun + value_offset(system, gain, sigma))


def policy_gradient(system: Regulator, gain: Tensor, sigma: float = 0.0) -> Tensor:
    """Return the gradient of `mean_cost` with respect to K, (action, state), for the policy a = K s + eps.

    It is -E[(dQ/da at a = K s) s'] over the discounted distribution of states.
    """
    return -slope_matrix(system, gain) @ occupancy(system, gain, sigma)


def optimal_gain(system: Regulator, iterations: int = 1000) -> Tensor:
    """Return the matrix K, (action, state), of the optimal policy a = K s, by iterating the Riccati equation."""
    value, gain = system.state_cost, torch.zeros_like(system.control.T)
    for _ in range(iterations):
        coupling, curvature = _action_part(system, value)
        gain = -torch.linalg.solve(curvature, coupling)
        closed = system.drift + system.control @ gain
        value = system.state_cost + gain.T @ system.action_cost @ gain + system.gamma * closed.T @ value @ closed
    return gain


def _action_part(system: Regulator, value: Tensor) -> tuple[Tensor, Tensor]:
    """Return two blocks of the matrix of the quadratic form Q(s, a): action by state, and action by action."""
    onward = system.gamma * system.control.T @ value
    return onward @ system.drift, system.action_cost + onward @ system.control


def _fixed_point(gamma: float, matrix: Tensor, constant: Tensor) -> Tensor:
    """Solve X = constant + gamma matrix X matrix', as a linear system in the entries of X."""
    size = len(matrix)
    left = torch.eye(size * size, dtype=torch.float64) - gamma * torch.kron(matrix, matrix)
    return torch.linalg.solve(left, constant.reshape(-1)).reshape(size, size)


def _form(vectors: Tensor, matrix: Tensor) -> Tensor:
    """Return x'M x for each row x of `vectors`: (batch, n) -> (batch,)."""
    return torch.einsum("bi,ij,bj->b", vectors, matrix, vectors)
