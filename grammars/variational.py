"""The mathematics of the variational bound: log-densities per example, and the two losses of the bound."""

import math

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from antiphon.grammars.typed import typed


@typed
def standard_normal(z: Tensor) -> Tensor:
    """log N(z; 0, I) of each example: (batch, latent) -> (batch,)."""
    return -0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(1)


def divergence(noise: Tensor, determinant: Tensor, prior: Tensor) -> Tensor:
    """Mean of log P_noise(eps) - log |det dG/deps| - log P_prior(G(eps, x)): L1 of the essay's Grammar 2, corrected.

    noise, determinant, prior: the three logarithms, (batch,) each. The first two together are the log-density of
    z = G(eps, x), by the change of variables. The essay leaves out the second. Without it, the mean is no divergence,
    and it decreases as Encoder's scale goes to zero.
    """
    return (noise - determinant - prior).mean()


@typed
def bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    """Mean of -log D(x|z) for independent pixels that are 1 with probability sigmoid(logits): L2 of Grammar 2.

    x in [0, 1] and logits have the same shape, (batch, ...). For x strictly between 0 and 1 it is a cross-entropy and
    not a likelihood.
    """
    return binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)


@typed
def isotropic(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Mean of -log N(x; mean, s^2 I), with log s played by Decoder: L2 of Grammar 2.

    x, mean: (batch, ...); log_scale: (batch,).
    """
    error = ((x - mean).flatten(1) * (-log_scale).exp().unsqueeze(1)).square().sum(1)
    size = mean[0].numel()
    return (0.5 * error + size * (log_scale + 0.5 * math.log(2 * math.pi))).mean()
