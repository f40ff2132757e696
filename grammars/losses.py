"""The mathematics of losses: means over the batch, each a scalar."""

from torch import Tensor

from antiphon.grammars.bellman import bellman_error


def bellman_gradient_error(
    reward: Tensor,
    terminated: Tensor,
    next_value: Tensor,
    value: Tensor,
    slope: Tensor,
    deviation: Tensor,
    gamma: float,
) -> Tensor:
    """Mean of (r + gamma (1 - terminated) Q~(s', mu(s')) - Q(s, mu(s)) - <G(s, mu(s)), eps>)^2 (essay, Grammar 4).

    reward, terminated: (batch,); next_value, value: (batch, 1); slope (G) and deviation (eps): (batch, action). The end
    of an episode by a time limit is no termination: its target still has the term of Q~.
    """
    target = reward + gamma * (1 - terminated) * next_value.squeeze(-1)
    return gradient_perturbation_error(target, value, slope, deviation)


def gradient_perturbation_error(reward: Tensor, value: Tensor, slope: Tensor, deviation: Tensor) -> Tensor:
    """Mean of (r - Q(s, mu(s)) - <G(s, mu(s)), eps>)^2: the value near mu(s) is expanded to first order.

    reward: (batch,); value: (batch, 1); slope (G) and deviation (eps): (batch, action).
    """
    return (reward - value.squeeze(-1) - (slope * deviation).sum(-1)).square().mean()


def squared_bellman_error(
    reward: Tensor, terminated: Tensor, next_value: Tensor, value: Tensor, gamma: float
) -> Tensor:
    """Mean of (r + gamma (1 - terminated) Q~(s', mu~(s')) - Q(s, a))^2, with Q at the action that was taken.

    reward, terminated: (batch,); next_value, value: (batch, 1). A time limit is no termination, see
    `bellman_gradient_error`.
    """
    return bellman_error(reward, terminated, next_value, value, gamma).square().mean()


def descended_slope(action: Tensor, slope: Tensor) -> Tensor:
    """Minus the mean of <G, a>, with G held fixed: an Actor that minimises it moves its action a in the direction of G.

    action, slope: (batch, action).
    """
    return -(slope.detach() * action).sum(-1).mean()
