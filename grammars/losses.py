"""The mathematics of losses: means over the batch, each a scalar."""

from torch import Tensor


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

    reward, terminated: (batch,); next_value, value: (batch, 1); slope (G) and deviation (eps): (batch, action).
    A time limit is no termination: it bootstraps.
    """
    target = reward + gamma * (1 - terminated) * next_value.squeeze(-1)
    error = target - value.squeeze(-1) - (slope * deviation).sum(-1)
    return error.square().mean()
