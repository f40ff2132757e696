"""The mathematics of temporal differences: errors per transition, losses as means, maps for edits of R, own losses.

weight: of each transition, (batch,), where it was not drawn as it should count (importance sampling, enumeration).
"""

import torch
from torch import Tensor


def bellman_error(reward: Tensor, terminated: Tensor, next_value: Tensor, value: Tensor, gamma: float) -> Tensor:
    """r + gamma (1 - terminated) V(s') - V(s) of each transition, (batch,) (essay, section 1.3).

    reward, terminated: (batch,); next_value, value: (batch, 1). A time limit is no termination: it bootstraps.
    """
    return reward + gamma * (1 - terminated) * next_value.squeeze(-1) - value.squeeze(-1)


def mean_square(error: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over the batch of the squared error: (batch,) -> ()."""
    return share(error.square(), weight).sum()


def mean_product(one: Tensor, two: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over the batch of the product of two errors: (batch,), (batch,) -> ().

    Two errors from independent next states of one state have the expectation of the *squared expected* error; one
    error squared has its variance on top (Baird 1995, Residual algorithms).
    """
    return share(one * two, weight).sum()


def saddle(error: Tensor, guess: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over the batch of error * guess - guess^2 / 2: (batch,), (batch, 1) -> ().

    At its greatest over linear guesses h = <w, phi> it is half the mean squared projected Bellman error (Liu et al.
    2015, Finite-sample analysis of proximal gradient TD algorithms).
    """
    guess = guess.squeeze(-1)
    return share(error * guess - guess.square() / 2, weight).sum()


def share(value: Tensor, weight: Tensor | None = None, factor: float = 1.0) -> Tensor:
    """What each example contributes to a (weighted) mean over the batch, times `factor`: (batch,) -> (batch,)."""
    return (value if weight is None else weight * value) * (factor / value.shape[0])


def minus_error(error: Tensor, weight: Tensor | None = None) -> Tensor:
    """Minus each example's share of the error, as told to V(s): (batch,) -> (batch, 1)."""
    return share(error, weight, -1.0)[:, None]


def implicit(message: Tensor, features: Tensor, weight: Tensor | None = None, *, step: float, bias: bool) -> Tensor:
    """The message into <theta, phi> that a mean square tells after the step which it causes: (batch, 1) -> (batch, 1).

    g+ solves g+ = g - (2 step / batch) W K g+, with K = phi phi' of this batch (+ 1 with a bias) and W the weights: the
    gradient at theta - step * (the gradient itself), the target held. For one transition it is g / (1 + 2 step |phi|^2)
    (Tamar et al. 2014, Implicit temporal differences; a square without 1/2 makes the 2).
    features: phi, (batch, n).
    """
    batch = features.shape[0]
    gram = features @ features.T + float(bias)
    weighted = gram if weight is None else weight[:, None] * gram
    eye = torch.eye(batch, dtype=features.dtype, device=features.device)
    return torch.linalg.solve(eye + (2 * step / batch) * weighted, message)


def held_square(
    error: Tensor, terminated: Tensor, next_value: Tensor, weight: Tensor | None = None, *, gamma: float
) -> Tensor:
    """Mean square of the Bellman error with the target held fixed: whose gradient a semi-gradient is. ()."""
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
    """min over d of |error - phi d|^2 + |d|^2 / (2 step), the first a mean with the target held: ().

    Its gradient is what `implicit` tells. This is the Moreau envelope of `held_square` in the parameters of a linear
    value: gradient steps on it are implicit steps of that (Rockafellar 1976, Monotone operators and the proximal point
    algorithm).
    """
    held = _held(error, terminated, next_value, gamma)
    told = share(held, weight)[:, None]
    return (held[:, None] * implicit(told, features, weight, step=step, bias=bias)).sum()


def correction(error: Tensor, guess: Tensor, weight: Tensor | None = None) -> Tensor:
    """Half the mean square of error - guess, the error held fixed: what a Corrector brings down. ()."""
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
    """Half of `held_square`, and gamma (1 - terminated) V(s') h(s) beside it, h held: whose gradient TDC tells. ()."""
    ahead = gamma * (1 - terminated) * next_value.squeeze(-1) * guess.detach().squeeze(-1)
    return held_square(error, terminated, next_value, weight, gamma=gamma) / 2 + share(ahead, weight).sum()


def _held(error: Tensor, terminated: Tensor, next_value: Tensor, gamma: float) -> Tensor:
    """The error as it is, without its slope in V(s'): what is taken away is zero, and has that slope."""
    return error - gamma * (1 - terminated) * (next_value - next_value.detach()).squeeze(-1)
