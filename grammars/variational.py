"""The mathematics of the variational bound: log-densities per example, and the two losses of the bound."""

import math

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from antiphon.grammars.typed import typed


@typed
def standard_normal(z: Tensor) -> Tensor:
    """Return log N(z; 0, I), the log-density of the standard normal, for each example: (batch, latent) -> (batch,)."""
    return -0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(1)


def divergence(noise: Tensor, determinant: Tensor, prior: Tensor) -> Tensor:
    """Return the mean over the batch of log P_noise(eps) - log |det dG/deps| - log P_prior(G(eps, x)): L1 of the
    essay's Grammar 2, corrected.

    noise, determinant, prior: the three logarithms, (batch,) each. By the change of variables, the first minus the
    second is the log-density of z = G(eps, x). The essay leaves out the second. Without it, the mean is no divergence,
    and it decreases as Encoder's scale goes to zero.
    """
    return (noise - determinant - prior).mean()


@typed
def bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    """Return the mean over the batch of -log D(x|z) for independent pixels that are 1 with probability sigmoid(logits):
    L2 of the essay's Grammar 2.

    x in [0, 1] and logits have the same shape, (batch, ...). If some x lies strictly between 0 and 1, the result is a
    cross-entropy and not a likelihood.
    """
    return binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)


@typed
def isotropic(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Return the mean over the batch of -log N(x; mean, s^2 I): L2 of the essay's Grammar 2 for a Gaussian decoder.

    x, mean: (batch, ...). log_scale: log s, which the player Decoder computes, (batch,).
    """
    error = ((x - mean).flatten(1) * (-log_scale).exp().unsqueeze(1)).square().sum(1)
    size = mean[0].numel()
    return (0.5 * error + size * (log_scale + 0.5 * math.log(2 * math.pi))).mean()
