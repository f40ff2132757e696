"""Test the diffusion grammar on random networks, and on a normal distribution whose best Denoiser is known."""

import random
from collections.abc import Mapping
from dataclasses import replace
from math import log
from typing import final

import torch
from torch import Tensor, nn

from antiphon.checks.suite import Case, Learning, Suite, smaller_and_smaller
from antiphon.checks.suites.backprop import BATCH
from antiphon.checks.suites.random_networks import promising
from antiphon.checks.suites.regulators import Modules
from antiphon.envs import arrays
from antiphon.grammars import Exact, Factory, Grammar, Learned, Port, Surrogate, promised
from antiphon.grammars.library import Perceptron, diffusion
from antiphon.grammars.library.diffusion import TimedDenoiser, signal_share
from antiphon.oracles import gaussian, uniform

SIZE = 3


@final
class NormalDenoiser(nn.Module):
    """The best Denoiser for examples from N(0, s^2 I). Its only parameter is log s, which begins at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, mixed: Tensor, time: Tensor) -> Tensor:
        """Return the mean of the noise, given the mixed example: (batch, size). time: (batch,)."""
        share = signal_share(time)[:, None]
        return (1 - share).sqrt() / ((2 * self.log_scale).exp() * share + 1 - share) * mixed


def dense(seed: int) -> Grammar:
    """Make a diffusion grammar of a dense Denoiser of random widths, on random examples."""
    choose, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    size, waves = choose.randint(2, 5), choose.randint(1, 3)
    x = torch.randn(BATCH, size, generator=generator)
    network = Factory.of(Perceptron, size + 2 * waves, size, (choose.randint(3, 8), choose.randint(3, 8)))
    made = diffusion(
        arrays(x, batch=BATCH),
        gaussian((size,), batch=BATCH),
        uniform((), batch=BATCH, low=0.0, high=1.0),
        Factory.of(TimedDenoiser, network, waves),
    )
    return promising(made, without=Surrogate)


def normal(seed: int) -> Grammar:
    """Make a diffusion grammar on a normal distribution. Its error is at least that of the best Denoiser."""
    scale = 0.3 + 0.2 * (seed % 3)
    made = diffusion(
        gaussian((SIZE,), batch=64, scale=scale),
        gaussian((SIZE,), batch=64),
        uniform((), batch=64, low=0.0, high=1.0),
        Factory.of(NormalDenoiser),
    )
    bound = Surrogate(truth=Factory.of(best_error, scale=scale))
    found = Learned(("Denoiser",), Factory.of(from_scale, scale=scale), tolerance=0.1)
    return replace(made, guarantee=promised(Exact(), bound, found))


def best_error(modules: Modules, values: Mapping[Port, Tensor], scale: float) -> Tensor:
    """Return the mean squared error of the best guess of the noise at the times of a round, 0-d.

    The examples are from N(0, scale^2 I). With a share k of the signal, the error is the variance of eps given x_t:
    scale^2 k / (scale^2 k + 1 - k).
    """
    signal = scale**2 * (share := signal_share(values[Port("Clock.sample")]))
    return (signal / (signal + 1 - share)).mean()


def from_scale(modules: Modules, values: Mapping[Port, Tensor], scale: float) -> Tensor:
    """Return the distance of Denoiser's log s from the log of the true scale, 0-d."""
    return modules["Denoiser"].get_parameter("log_scale") - log(scale)


SUITE = Suite(
    "diffusion",
    (
        Case("dense", dense),
        Case("normal", normal, instances=3, learning=Learning(800, smaller_and_smaller(800))),
    ),
)
