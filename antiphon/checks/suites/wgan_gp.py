"""Test the Wasserstein GAN with a gradient penalty on random networks."""

import random

import torch

from antiphon.checks.suite import Case, Suite
from antiphon.checks.suites.gan import BATCH
from antiphon.envs import arrays
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.library import generative
from antiphon.grammars.library.wgan_gp import wgan_gp
from antiphon.oracles import gaussian, uniform


def dense(seed: int) -> Grammar:
    """Make a grammar of dense networks of random widths, with a random weight of the penalty."""
    choose, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    size, latent, width = choose.randint(2, 6), choose.randint(1, 3), choose.randint(3, 8)
    forger = Factory.of(generative.DenseSynthesis, latent, (size,), [width])
    curator = Factory.of(generative.DenseAnalysis, (size,), 1, [width, width], slope=0.2)
    x = arrays(torch.randn(BATCH, size, generator=generator), batch=BATCH)
    noise, mix = gaussian((latent,), batch=BATCH), uniform((1,), batch=BATCH, low=0.0)
    return wgan_gp(x, noise, mix, forger, curator, penalty=choose.choice([0.1, 1.0, 10.0]))


def convolutional(seed: int) -> Grammar:
    """Make a grammar of convolutional networks on small images."""
    choose, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    image, latent, channels = (choose.randint(1, 2), 4, 6), choose.randint(1, 3), [choose.randint(2, 4)]
    forger = Factory.of(generative.ConvolutionalSynthesis, latent, image, channels, squashed=True)
    curator = Factory.of(generative.ConvolutionalAnalysis, image, 1, channels, slope=0.2)
    x = arrays(torch.rand(BATCH, *image, generator=generator), batch=BATCH)
    return wgan_gp(x, gaussian((latent,), batch=BATCH), uniform((1,), batch=BATCH, low=0.0), forger, curator)


SUITE = Suite("wgan-gp", (Case("dense", dense, instances=10), Case("convolutional", convolutional, instances=5)))
