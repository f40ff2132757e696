"""A denoising diffusion model: Denoiser learns to tell the noise that was mixed into an example.

Ho et al. 2020, Denoising diffusion probabilistic models.
"""

import itertools
import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from antiphon.grammars import Factory, Grammar, OracleDeclaration, QueryDraft, Surrogate, chain_rule, minimise, typed
from antiphon.grammars.guarantee import Exact, promised
from antiphon.grammars.inference import made_for, make_module
from antiphon.grammars.library.unlabelled import first
from antiphon.grammars.numbers import Count

GUARANTEE = promised(
    Exact(sense="the response is the gradient of the mean squared error of the noise"),
    Surrogate(sense="the error is no less than that of the best guess of the noise, its conditional mean"),
)


@typed
def diffusion(
    environment: OracleDeclaration,
    noise: OracleDeclaration,
    clock: OracleDeclaration,
    denoiser: Factory,
    *,
    low: float = -1.0,
    high: float = 1.0,
) -> Grammar:
    """Make the grammar of a denoising diffusion model. The only player is Denoiser.

    An example x and noise eps are mixed: x_t = sqrt(k) x + sqrt(1 - k) eps, where the share k of the signal falls with
    the time t. Denoiser f minimises the mean of (eps - f(x_t, t))^2. This is the simple loss of Ho et al.: the bound of
    the negative log-likelihood, with all times of equal weight.
    environment: an oracle whose first question answers x; further outputs are ignored. noise: an oracle whose first
    question answers eps in the shape of x. clock: an oracle whose first question answers times t, uniform in [0, 1),
    (batch,). denoiser: makes f, a module of (x_t, t) whose output has the shape of x. low, high: the range of the
    numbers of x; they are moved to the range from -1 to 1 before noise is mixed in.
    """
    q = QueryDraft()
    x, eps = first(q.oracle("Environment", environment)()), q.oracle("Noise", noise)()
    time = q.oracle("Clock", clock)()
    mixed = q.operator("mix", mix)(q.operator("scale", scaled, low=low, high=high)(x), eps, time)
    guess = q.player("Denoiser", denoiser)(mixed, time)
    objective = minimise(q.loss("Loss", mse_loss)(guess, eps))
    return Grammar("diffusion", q.graph(), chain_rule(q, objective), objective, GUARANTEE)


def signal_share(time: Tensor) -> Tensor:
    """Return the share of the signal's variance at a time from 0 to 1: the cosine schedule of Nichol and Dhariwal 2021.

    It falls from almost 1 to almost 0, in the shape of `time`.
    """
    return torch.cos((0.008 + time) / 1.016 * (math.pi / 2)).square()


def scaled(x: Tensor, low: float, high: float) -> Tensor:
    """Return x, moved linearly from the range between low and high to the range between -1 and 1."""
    return (2 * x - (low + high)) / (high - low)


def mix(x: Tensor, eps: Tensor, time: Tensor) -> Tensor:
    """Return sqrt(k) x + sqrt(1 - k) eps with k = `signal_share(time)`. x, eps: (batch, ...). time: (batch,)."""
    share = signal_share(time).reshape(-1, *[1] * (x.dim() - 1))
    return share.sqrt() * x + (1 - share).sqrt() * eps


@final
class TimedDenoiser(nn.Module):
    """A Denoiser: a network of the mixed example and of sines and cosines of the time.

    network: makes a module (batch, numbers of an example + 2 waves) -> (batch, numbers of an example). waves: the
    number of frequencies, each twice the one before.
    """

    def __init__(self, network: Factory, waves: Count = 4) -> None:
        super().__init__()
        self.network = made_for(f"the network of {type(self).__name__}", make_module, network)
        self._waves = waves

    def forward(self, mixed: Tensor, time: Tensor) -> Tensor:
        """Return the guess of the noise, (batch, ...). mixed: (batch, ...). time: (batch,), from 0 to 1."""
        angles = time[:, None] * math.pi * 2.0 ** torch.arange(self._waves, device=time.device).to(time)
        told = torch.cat([mixed.flatten(1), angles.sin(), angles.cos()], 1)
        return self.network(told).reshape(mixed.shape)


@torch.no_grad()
def sampled(denoiser: nn.Module, start: Tensor, steps: int, bound: float = torch.inf) -> Tensor:
    """Turn noise into examples with a trained Denoiser, in `steps` deterministic steps (Song et al. 2021, DDIM).

    start: standard normal noise, (n, ...). bound: the numbers of an example are known to lie between -bound and
    bound. Returns the examples, (n, ...), in the range from -1 to 1.
    """
    mixed = x = start
    times = torch.linspace(0.999, 0.0, steps + 1, dtype=start.dtype)
    for now, after in itertools.pairwise(times):
        eps = denoiser(mixed, now.expand(len(start)))
        share = signal_share(now)
        x = ((mixed - (1 - share).sqrt() * eps) / share.sqrt()).clamp(-bound, bound)
        left = (mixed - share.sqrt() * x) / (1 - share).sqrt()
        mixed = mix(x, left, after.expand(len(start)))
    return x
