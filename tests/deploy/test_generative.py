"""Grammars 2 and 3 give the same numbers in one process and on Ray, bitwise: images, labels that nobody looks at, an
oracle asked twice, a player asked twice."""

import pytest

from antiphon.agents import AgentSpecification
from antiphon.envs import binarized, digits
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.library import gan, vae
from antiphon.grammars.library.generative import (
    ConvolutionalAnalysis,
    ConvolutionalSynthesis,
    DenseAnalysis,
    DenseSynthesis,
    Isotropic,
    Reparametrized,
)
from antiphon.grammars.variational import isotropic
from antiphon.oracles import gaussian
from rigs.equality import check_same_on_ray

IMAGE, LATENT, BATCH, ROUNDS = (1, 8, 8), 5, 17, 60


def convolutional_vae() -> Grammar:
    network = Factory.of(ConvolutionalAnalysis, IMAGE, 2 * LATENT, [6, 7])
    decoder = Factory.of(Isotropic, Factory.of(ConvolutionalSynthesis, LATENT, IMAGE, [7, 6]))
    noise = gaussian((LATENT,), batch=BATCH)
    return vae(digits(BATCH, image=True), noise, Factory.of(Reparametrized, network), decoder, Factory(isotropic))


def dense_vae() -> Grammar:
    network = Factory.of(DenseAnalysis, (64,), 2 * LATENT, [33])
    decoder = Factory.of(DenseSynthesis, LATENT, (64,), [33])
    noise = gaussian((LATENT,), batch=BATCH)
    return vae(binarized(digits(BATCH)), noise, Factory.of(Reparametrized, network), decoder)


def dense_gan() -> Grammar:
    forger = Factory.of(DenseSynthesis, LATENT, (64,), [33], squashed=True)
    return gan(digits(BATCH), gaussian((LATENT,), batch=BATCH), forger, Factory.of(DenseAnalysis, (64,), 1, [33], 0.2))


def convolutional_gan() -> Grammar:
    forger = Factory.of(ConvolutionalSynthesis, LATENT, IMAGE, [7, 6], squashed=True)
    curator = Factory.of(ConvolutionalAnalysis, IMAGE, 1, [6, 7], 0.2)
    return gan(digits(BATCH, image=True), gaussian((LATENT,), batch=BATCH), forger, curator, saturating=False)


@pytest.mark.slow
@pytest.mark.parametrize("make", [convolutional_vae, dense_vae, dense_gan, convolutional_gan])
def test_a_run_is_bitwise_the_same_in_one_process_and_on_ray(make, pool):
    check_same_on_ray(make(), AgentSpecification.of("Adam", {"lr": 1e-3}), ROUNDS, make.__name__, pool)
