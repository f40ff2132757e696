"""The mathematics of temporal differences: Bellman errors of transitions, losses, and functions for edits of Response
graphs.

The argument `weight` is the weight of each transition, (batch,), or None if all count alike. Weights correct for
transitions that were drawn from another distribution (importance sampling, enumeration).
"""

import torch
from torch import Tensor


def bellman_error(reward: Tensor, terminated: Tensor, next_value: Tensor, value: Tensor, gamma: float) -> Tensor:
    """Return the Bellman error r + gamma (1 - terminated) V(s') - V(s) of each transition, (batch,) (essay, section
    1.3).

    reward (r), terminated: (batch,). next_value (V(s')), value (V(s)): (batch, 1). The end of an episode by a time
    limit does not count as terminated: the target of such a transition still contains gamma V(s').
    """
    return reward + gamma * (1 - terminated) * next_value.squeeze(-1) - value.squeeze(-1)


def mean_square(error: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the (weighted) mean over the batch of the squared error: (batch,) -> ()."""
    return share(error.square(), weight).sum()


def mean_product(one: Tensor, two: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the (weighted) mean over the batch of the product of two Bellman errors: (batch,), (batch,) -> ().

    If the two errors come from independent next states of one state, the expectation of their product is the *squared
    expected* error. The expectation of the square of one error also contains the variance of that error (Baird 1995,
    Residual algorithms).
    """
    return share(one * two, weight).sum()


def saddle(error: Tensor, guess: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean over the batch of error * guess - guess^2 / 2: (batch,), (batch, 1) -> ().

    guess: h(s), an estimate of the expected Bellman error at each state. If h is linear in the features, h = <w, phi>,
    the maximum over w is half the mean squared projected Bellman error (Liu et al. 2015, Finite-sample analysis of
    proximal gradient TD algorithms).
    """
    guess = guess.squeeze(-1)
    return share(error * guess - guess.square() / 2, weight).sum()


def share(value: Tensor, weight: Tensor | None = None, factor: float = 1.0) -> Tensor:
    """Return the contribution of each example to the (weighted) mean of `value` over the batch, times `factor`:
    (batch,) -> (batch,).
    """
    return (value if weight is None else weight * value) * (factor / value.shape[0])


def minus_error(error: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return minus each example's contribution to the mean Bellman error: (batch,) -> (batch, 1).

    The result is used as a message about V(s), in place of a gradient.
    """
    return share(error, weight, -1.0)[:, None]


def implicit(message: Tensor, features: Tensor, weight: Tensor | None = None, *, step: float, bias: bool) -> Tensor:
    """Return the gradient with respect to V(s) = <theta, phi> for an implicit step of gradient descent.

    It is the gradient of the mean squared Bellman error at the parameters after the step, not before it.

    message: g, the same gradient at the parameters before the step, (batch, 1). features: phi, (batch, n). step: the
    learning rate. Returns g+, (batch, 1): the gradient at the parameters after an SGD step that uses g+ itself, with
    the target held fixed. It solves g+ = g - (2 step / batch) W K g+, with K = phi phi' of this batch (+ 1 with a bias)
    and W the weights. For one transition it is g / (1 + 2 step |phi|^2) (Tamar et al. 2014, Implicit temporal
    differences; the 2 comes from a square without the factor 1/2).
    """
    batch = features.shape[0]
    gram = features @ features.T + float(bias)
    weighted = gram if weight is None else weight[:, None] * gram
    eye = torch.eye(batch, dtype=features.dtype, device=features.device)
    return torch.linalg.solve(eye + (2 * step / batch) * weighted, message)


def held_square(
    error: Tensor, terminated: Tensor, next_value: Tensor, weight: Tensor | None = None, *, gamma: float
) -> Tensor:
    """Return the mean squared Bellman error with the target held fixed, 0-d. Its gradient is the semi-gradient of
    TD(0).

    The target is r + gamma (1 - terminated) V(s').
    """
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
    """Return the minimum over d of |error - phi d|^2 + |d|^2 / (2 step), 0-d.

    d is a change of the parameters, phi the features. The first term is a mean over the batch of squared Bellman
    errors, with the target held fixed.

    Its gradient is the result of `implicit`. It is the Moreau envelope of `held_square` in the parameters of a linear
    value: a gradient step on the envelope is an implicit step on `held_square` (Rockafellar 1976, Monotone operators
    and the proximal point algorithm).
    """
    held = _held(error, terminated, next_value, gamma)
    told = share(held, weight)[:, None]
    return (held[:, None] * implicit(told, features, weight, step=step, bias=bias)).sum()


def correction(error: Tensor, guess: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return half the mean over the batch of (error - guess)^2, 0-d: the loss that the player Corrector minimises.

    error: the Bellman errors, (batch,), held fixed. guess: Corrector's estimate of their expectation, (batch, 1).
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
    """Return the loss of TDC (temporal differences with gradient correction), 0-d.

    It is half of `held_square` (the mean squared Bellman error with the target held fixed), plus the mean of
    gamma (1 - terminated) V(s') h(s). guess: h(s), held fixed, (batch, 1).
    """
    ahead = gamma * (1 - terminated) * next_value.squeeze(-1) * guess.detach().squeeze(-1)
    return held_square(error, terminated, next_value, weight, gamma=gamma) / 2 + share(ahead, weight).sum()


def _held(error: Tensor, terminated: Tensor, next_value: Tensor, gamma: float) -> Tensor:
    """Return the Bellman error with the target V(s') held fixed: the same numbers, without the derivative with respect
    to V(s').
    """
    return error - gamma * (1 - terminated) * (next_value - next_value.detach()).squeeze(-1)


def discounted(next_value: Tensor, discount: Tensor) -> Tensor:
    """Return the value at the end of each return over several steps, times the discount: (batch, 1) -> (batch, 1).

    discount: gamma^(k-1) for a return of k steps, (batch,).
    """
    return next_value * discount.unsqueeze(-1)
