"""Losses of reinforcement learning with actions: means over the batch, each a scalar.

The argument `weight` is the weight of each transition in the mean, (batch,), or None if all count alike.
"""

from torch import Tensor

from antiphon.grammars.bellman import bellman_error


def bellman_gradient_error(
    reward: Tensor,
    terminated: Tensor,
    next_value: Tensor,
    value: Tensor,
    slope: Tensor,
    deviation: Tensor,
    weight: Tensor | None = None,
    *,
    gamma: float,
) -> Tensor:
    """Return the mean of (r + gamma (1 - terminated) Q~(s', mu(s')) - Q(s, mu(s)) - <G(s, mu(s)), eps>)^2 (essay,
    Grammar 4).

    reward (r), terminated: (batch,). next_value (Q~), value (Q): (batch, 1). slope (G, an estimate of dQ/da) and
    deviation (eps, the action minus mu(s)): (batch, action). The end of an episode by a time limit does not count as
    terminated: the target of such a transition still contains gamma Q~.
    """
    return _mean_square(bellman_gradient(reward, terminated, next_value, value, slope, deviation, gamma=gamma), weight)


def bellman_gradient(
    reward: Tensor, terminated: Tensor, next_value: Tensor, value: Tensor, slope: Tensor, eps: Tensor, gamma: float
) -> Tensor:
    """Return the error of each transition, (batch,), whose mean square `bellman_gradient_error` returns."""
    target = reward + gamma * (1 - terminated) * next_value.squeeze(-1)
    return gradient_perturbation(target, value, slope, eps)


def gradient_perturbation_error(reward: Tensor, value: Tensor, slope: Tensor, deviation: Tensor) -> Tensor:
    """Return the mean of (r - Q(s, mu(s)) - <G(s, mu(s)), eps>)^2: the reward near mu(s) is expanded to first order.

    reward (r): (batch,). value (Q): (batch, 1). slope (G, an estimate of dQ/da) and deviation (eps, the action minus
    mu(s)): (batch, action).
    """
    return _mean_square(gradient_perturbation(reward, value, slope, deviation))


def gradient_perturbation(reward: Tensor, value: Tensor, slope: Tensor, deviation: Tensor) -> Tensor:
    """Return the error of each example, (batch,), whose mean square `gradient_perturbation_error` returns."""
    return reward - value.squeeze(-1) - (slope * deviation).sum(-1)


def squared_bellman_error(
    reward: Tensor,
    terminated: Tensor,
    next_value: Tensor,
    value: Tensor,
    weight: Tensor | None = None,
    *,
    gamma: float,
) -> Tensor:
    """Return the mean of (r + gamma (1 - terminated) Q~(s', mu~(s')) - Q(s, a))^2, with Q at the action a that was
    taken.

    reward (r), terminated: (batch,). next_value (Q~), value (Q): (batch, 1). The end of an episode by a time limit does
    not count as terminated: the target of such a transition still contains gamma Q~.
    """
    return _mean_square(bellman_error(reward, terminated, next_value, value, gamma), weight)


def _mean_square(error: Tensor, weight: Tensor | None = None) -> Tensor:
    return error.square().mean() if weight is None else (weight * error.square()).mean()


def descended_slope(action: Tensor, slope: Tensor) -> Tensor:
    """Return minus the mean of <G, a>, with G held fixed: a loss for an Actor that plays the action a.

    An Actor that minimises it moves its action in the direction of G, an estimate of dQ/da. action (a), slope (G):
    (batch, action).
    """
    return -(slope.detach() * action).sum(-1).mean()
