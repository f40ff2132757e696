"""The mathematics of temporal differences: errors of transitions, losses, and maps for edits of R.

The argument `weight` is the weight of each transition, (batch,), or None if all count alike. Weights correct for
transitions that were drawn from another distribution (importance sampling, enumeration).
"""

import torch
from torch import Tensor


def bellman_error(reward: Tensor, terminated: Tensor, next_value: Tensor, value: Tensor, gamma: float) -> Tensor:
    """r + gamma (1 - terminated) V(s') - V(s) of each transition, (batch,) (essay, section 1.3).

    reward, terminated: (batch,); next_value, value: (batch, 1). The end of an episode by a time limit is no
    termination: its target still has the term of V(s').
    """
    return reward + gamma * (1 - terminated) * next_value.squeeze(-1) - value.squeeze(-1)


def mean_square(error: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over the batch of the squared error: (batch,) -> ()."""
    return share(error.square(), weight).sum()


def mean_product(one: Tensor, two: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over the batch of the product of two errors: (batch,), (batch,) -> ().

    If the two errors come from independent next states of one state, the expectation of their product is the *squared
    expected* error. The square of a single error has its variance on top (Baird 1995, Residual algorithms).
    """
    return share(one * two, weight).sum()


def saddle(error: Tensor, guess: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over the batch of error * guess - guess^2 / 2: (batch,), (batch, 1) -> ().

    Its maximum over linear guesses h = <w, phi> is half the mean squared projected Bellman error (Liu et al. 2015,
    Finite-sample analysis of proximal gradient TD algorithms).
    """
    guess = guess.squeeze(-1)
    return share(error * guess - guess.square() / 2, weight).sum()


def share(value: Tensor, weight: Tensor | None = None, factor: float = 1.0) -> Tensor:
    """The contribution of each example to a (weighted) mean over the batch, times `factor`: (batch,) -> (batch,)."""
    return (value if weight is None else weight * value) * (factor / value.shape[0])


def minus_error(error: Tensor, weight: Tensor | None = None) -> Tensor:
    """Minus each example's contribution to the mean error, as a message about V(s): (batch,) -> (batch, 1)."""
    return share(error, weight, -1.0)[:, None]


def implicit(message: Tensor, features: Tensor, weight: Tensor | None = None, *, step: float, bias: bool) -> Tensor:
    """Return the message about V(s) = <theta, phi> of an implicit step of gradient descent: the gradient of the mean
    square error with respect to V(s), at the parameters that the step leads to.

    message: g, this gradient before the step, (batch, 1). features: phi, (batch, n). step: the learning rate. Returns
    g+, (batch, 1), the gradient at the parameters that an SGD step by g+ itself leads to, with the target held fixed.
    It solves g+ = g - (2 step / batch) W K g+, with K = phi phi' of this batch (+ 1 with a bias) and W the weights. For
    one transition it is g / (1 + 2 step |phi|^2) (Tamar et al. 2014, Implicit temporal differences; the 2 comes from a
    square without the factor 1/2).
    """
    batch = features.shape[0]
    gram = features @ features.T + float(bias)
    weighted = gram if weight is None else weight[:, None] * gram
    eye = torch.eye(batch, dtype=features.dtype, device=features.device)
    return torch.linalg.solve(eye + (2 * step / batch) * weighted, message)


def held_square(
    error: Tensor, terminated: Tensor, next_value: Tensor, weight: Tensor | None = None, *, gamma: float
) -> Tensor:
    """Mean square of the Bellman error with the target held fixed, 0-d. Its gradient is the semi-gradient."""
    return mean_square(_held(error, terminated, next_value, gamma), weight)


def envelope(
    error: Tensor,
    terminated: Tensor,
    next_value: Tensor,
    features: Tensor,
    weight: Tensor | None = None,
    *,
    gamma: float,
    step: float,
    bias: bool,
) -> Tensor:
    """min over d of |error - phi d|^2 + |d|^2 / (2 step), 0-d; the first term is a mean, with the target held fixed.

    Its gradient is the result of `implicit`. It is the Moreau envelope of `held_square` in the parameters of a linear
    value: a gradient step on the envelope is an implicit step on `held_square` (Rockafellar 1976, Monotone operators
    and the proximal point algorithm).
    """
    held = _held(error, terminated, next_value, gamma)
    told = share(held, weight)[:, None]
    return (held[:, None] * implicit(told, features, weight, step=step, bias=bias)).sum()


def correction(error: Tensor, guess: Tensor, weight: Tensor | None = None) -> Tensor:
    """Half the mean square of the difference `error - guess`, 0-d.

    The error is held fixed. A Corrector minimises this loss.
    """
    return mean_square(error.detach() - guess.squeeze(-1), weight) / 2


def corrected_square(
    error: Tensor,
    terminated: Tensor,
    next_value: Tensor,
    guess: Tensor,
    weight: Tensor | None = None,
    *,
    gamma: float,
) -> Tensor:
    """The loss of TDC, 0-d: half of `held_square`, plus the mean of gamma (1 - terminated) V(s') h(s), h held fixed."""
    ahead = gamma * (1 - terminated) * next_value.squeeze(-1) * guess.detach().squeeze(-1)
    return held_square(error, terminated, next_value, weight, gamma=gamma) / 2 + share(ahead, weight).sum()


def _held(error: Tensor, terminated: Tensor, next_value: Tensor, gamma: float) -> Tensor:
    """The error without its derivative with respect to V(s'). The subtracted term is zero and has this derivative."""
    return error - gamma * (1 - terminated) * (next_value - next_value.detach()).squeeze(-1)
