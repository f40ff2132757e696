"""Test "bootstrap your own latent" on random networks: gradients are exact, and none passes a clone."""

import random

import torch

from antiphon.checks.suite import Case, Suite
from antiphon.checks.suites.backprop import BATCH
from antiphon.envs import arrays
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.library import DenseAnalysis, byol
from antiphon.grammars.library.byol import Head
from antiphon.grammars.library.views import moved
from antiphon.oracles import uniform


def dense(seed: int) -> Grammar:
    """Make a grammar of dense networks of random widths, on random images."""
    choose, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    image, wide, narrow = (1, choose.randint(3, 6), choose.randint(3, 6)), choose.randint(7, 10), choose.randint(3, 6)
    images = arrays(torch.rand(BATCH, *image, generator=generator), batch=BATCH)
    encoder = Factory.of(DenseAnalysis, image, wide, (choose.randint(3, 8),))
    projector, predictor = (Factory.of(Head, size, narrow, 5) for size in (wide, narrow))
    noise = uniform((4,), batch=BATCH)
    return byol(images, noise, Factory.of(moved), encoder, projector, predictor, soft=choose.choice([0.05, 0.5]))


SUITE = Suite("byol", (Case("dense", dense),))
