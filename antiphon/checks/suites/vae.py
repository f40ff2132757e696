"""Test the grammar of variational autoencoders (essay, Grammar 2): gradients are exact, and the objective is a bound.

The objective is an upper bound of the negative log-likelihood. Learning must reach the best value of the bound.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import final

import torch
from torch import Tensor, distributions, nn

from antiphon.checks.measured import Measured
from antiphon.checks.suite import Case, Learning, Study, Suite, smaller_and_smaller
from antiphon.envs import arrays
from antiphon.grammars import (
    Arrives,
    Box,
    Exact,
    Factory,
    Grammar,
    Learned,
    OracleDeclaration,
    Port,
    Question,
    Surrogate,
    promised,
)
from antiphon.grammars.library import generative, vae
from antiphon.grammars.oracle import Memoryless
from antiphon.grammars.random_grammars import batch_of
from antiphon.grammars.variational import divergence, isotropic, standard_normal
from antiphon.oracles import gaussian

D = torch.float64
BATCH, LATENT, SIZE = 8, 2, 4
X, L1, L2 = Port("Environment.sample"), Port("L1"), Port("L2")


@final
class Corners(Memoryless):
    """A noise oracle that always answers the same points: +-sqrt(latent) along each axis, `repeated` times.

    The points have mean 0 and covariance I, as standard normal noise, so that means of quadratics over the batch are
    exact. Asked for the log-density of a point, the oracle answers that of the standard normal distribution.
    """

    def __init__(self, latent: int, repeated: int, *, seed: int) -> None:
        axes = math.sqrt(latent) * torch.eye(latent, dtype=D)
        self._points = torch.cat([axes, -axes]).repeat(repeated, 1)

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> tuple[Tensor, ...]:
        """Answer the question "sample" (return the points) or "log_density" (of the points in `inputs`)."""
        return (self._points,) if question == "sample" else (standard_normal(inputs[0]),)


@final
class Triangular(nn.Module):
    """A module for Encoder: z = m(x) + L eps, where m is a network and L a triangular matrix with positive diagonal."""

    def __init__(self, size: int, latent: int) -> None:
        super().__init__()
        self.mean = nn.Sequential(nn.Linear(size, 3), nn.Tanh(), nn.Linear(3, latent))
        self.lower = nn.Parameter(torch.randn(latent, latent) / 3)

    def forward(self, eps: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return a sample z = m(x) + L eps, (batch, latent), and log |det L|, (batch,).

        m is the network `mean`. L is the triangular matrix of the module, so log |det L| is the log-determinant of the
        map from eps to z. eps: (batch, latent). x: (batch, size).
        """
        log_scale = self.lower.diagonal()
        matrix = self.lower.tril(-1) + log_scale.exp().diag()
        return self.mean(x) + eps @ matrix.T, log_scale.sum().expand(len(x))


def corners(latent: int, repeated: int) -> OracleDeclaration:
    """Declare the noise oracle `Corners`. Its batch has `repeated` copies of 2 * latent points."""
    point, number = batch_of(latent), batch_of()
    questions = (Question("sample", (), (point,)), Question("log_density", (point,), (number,), Box.GRAY))
    return OracleDeclaration(Factory.of(Corners, latent, repeated), questions, (("batch", 2 * latent * repeated),))


def dense(seed: int) -> Grammar:
    """Make a VAE grammar of dense networks of random widths, on binary pixels."""
    choose, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    size, latent, width = choose.randint(2, 6), choose.randint(1, 3), choose.randint(2, 8)
    x = torch.bernoulli(torch.full((BATCH, size), 0.4), generator=generator)
    network = Factory.of(generative.DenseAnalysis, (size,), 2 * latent, [width])
    decoder = Factory.of(generative.DenseSynthesis, latent, (size,), [width])
    encoder, noise = Factory.of(generative.Reparametrized, network), gaussian((latent,), batch=BATCH)
    return vae(arrays(x, batch=BATCH), noise, encoder, decoder)


def convolutional(seed: int) -> Grammar:
    """Make a VAE grammar of convolutional networks on small images, with a Gaussian Decoder that learns its scale."""
    choose, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    image, latent, channels = (choose.randint(1, 2), 4, 6), choose.randint(1, 3), [choose.randint(2, 4)]
    x = torch.randn(BATCH, *image, generator=generator)
    analysis = Factory.of(generative.ConvolutionalAnalysis, image, 2 * latent, channels)
    synthesis = Factory.of(generative.ConvolutionalSynthesis, latent, image, channels)
    encoder = Factory.of(generative.Reparametrized, analysis)
    return normal_vae(arrays(x, batch=BATCH), gaussian((latent,), batch=BATCH), encoder, synthesis)


def normal_vae(world: OracleDeclaration, noise: OracleDeclaration, encoder: Factory, network: Factory) -> Grammar:
    """Make a VAE grammar with a normal Decoder.

    network: the factory of the module that returns the mean of Decoder's distribution; its scale is learned.
    """
    return vae(world, noise, encoder, Factory.of(generative.Isotropic, network), Factory(isotropic))


def triangular(seed: int) -> Grammar:
    """Make a VAE grammar with the Encoder `Triangular`, and an affine Decoder, whose likelihood is known."""
    return _affine_decoder(Factory.of(Triangular, SIZE, LATENT), seed)


def affine(seed: int) -> Grammar:
    """Make a VAE grammar with an affine Encoder, and an affine Decoder, whose likelihood is known."""
    return _affine_decoder(Factory.of(generative.Reparametrized, Factory.of(nn.Linear, SIZE, 2 * LATENT)), seed)


def principal(seed: int) -> Grammar:
    """Make a grammar of an affine VAE, and promise that learning reaches the known solution, probabilistic PCA.

    Each batch is the whole data set, and the mean over the noise is exact.
    """
    learned = Learned(("Encoder", "Decoder"), Factory.of(gap_to_probabilistic_pca), tolerance=0.01)
    return replace(on_corners(normal(seed, 12)), guarantee=promised(Exact(), learned, Arrives(tolerance=0.01)))


def on_corners(x: Tensor) -> Grammar:
    """Make a grammar of an affine VAE without random noise: each batch is the whole data set.

    Means over the noise are exact. x: the data set, (n, size), float64.
    """
    size, repeated = x.shape[1], x.repeat_interleave(2 * LATENT, dim=0)
    world = arrays(repeated, batch=len(repeated), shuffle=False)
    encoder = Factory.of(generative.Reparametrized, Factory.of(nn.Linear, size, 2 * LATENT, dtype=D))
    return normal_vae(world, corners(LATENT, len(x)), encoder, Factory.of(nn.Linear, LATENT, size, dtype=D))


def normal(seed: int, count: int, size: int = SIZE) -> Tensor:
    """Return normal examples with mean 1 and large variance in two directions: (count, size), float64."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, LATENT, dtype=D, generator=generator)
    mixing = torch.randn(LATENT, size, dtype=D, generator=generator)
    return 1 + z @ mixing + 0.5 * torch.randn(count, size, dtype=D, generator=generator)


def minus_log_likelihood(modules: Mapping[str, nn.Module], values: Mapping[Port, Tensor]) -> Tensor:
    """Return the mean of -log P(x) over the examples x of a round, for an affine Decoder, 0-d.

    P is the distribution of x without the latent variable, N(mu, W W' + s^2 I), with Decoder's parameters mu, W and s.
    """
    decoder = modules["Decoder"].state_dict()
    return -log_likelihood(values[X], *(decoder[name] for name in ("network.weight", "network.bias", "log_scale")))


def log_likelihood(x: Tensor, weight: Tensor, bias: Tensor, log_scale: Tensor) -> Tensor:
    """Return the mean log-density of examples under the normal distribution N(bias, W W' + s^2 I), 0-d.

    x: (n, size). bias: (size,). weight: W, (size, latent). log_scale: log s.
    """
    covariance = weight @ weight.T + (2 * log_scale).exp() * torch.eye(len(bias), dtype=weight.dtype)
    return distributions.MultivariateNormal(bias, covariance).log_prob(x).mean()


def probabilistic_pca(x: Tensor, latent: int = LATENT, degrees: int = 0) -> tuple[Tensor, Tensor]:
    """Return the largest mean log-likelihood of x under a normal distribution with covariance W W' + s^2 I.

    x: (n, size). latent: number of columns of W. degrees: the covariance of x divides by n - degrees.
    Returns (the log-likelihood, the best s^2), both 0-d. The best s^2 is the mean of the discarded eigenvalues (Tipping
    and Bishop 1999, eq. 7 and 8).
    """
    centred = x - x.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / (len(x) - degrees))
    noise = values[:-latent].mean()
    kept = torch.where(torch.arange(len(values)) < len(values) - latent, noise, values)
    model = distributions.MultivariateNormal(x.mean(0), vectors @ kept.diag() @ vectors.T)
    return model.log_prob(x).mean(), noise


def gap_to_probabilistic_pca(modules: Mapping[str, nn.Module], values: Mapping[Port, Tensor]) -> Tensor:
    """Return the relative difference between the objective of a VAE and its best value, 0-d.

    The best value is the negative log-likelihood of probabilistic PCA on the examples of the round.
    """
    best, _ = probabilistic_pca(values[X])
    return ((values[L1] + values[L2] + best) / best).abs()


def printed_divergence(noise: Tensor, determinant: Tensor, prior: Tensor) -> Tensor:
    """Return the term L1 of a VAE's objective as printed in the essay, 0-d; the printed formula lacks a determinant.

    The printed formula is E log(P_noise(eps) / P_prior(G(eps, x))).
    noise, prior: log-densities, (batch,). determinant: log |det dG/deps|, not used.
    """
    return (noise - prior).mean()


def corrected_is_analytic(seed: int) -> Measured:
    """Test the library's term L1 of a VAE's objective, for random means and scales.

    L1 must be the divergence between Encoder's distribution and the prior. The measured value is the difference from
    torch's closed form of the divergence.
    """
    generator = torch.Generator().manual_seed(seed)
    mean, log_scale = torch.randn(2, BATCH, LATENT, dtype=D, generator=generator).repeat_interleave(2 * LATENT, 1)
    eps = Corners(LATENT, BATCH, seed=0).answer("sample", (), 0)[0]
    found = divergence(standard_normal(eps), log_scale.sum(1), standard_normal(mean + log_scale.exp() * eps))
    posterior, prior = distributions.Normal(mean, log_scale.exp()), distributions.Normal(0.0, 1.0)
    expected = float(distributions.kl_divergence(posterior, prior).sum(1).mean())
    return Measured("Encoder", abs(float(found) - expected), 1e-10 * max(1.0, expected), "L1", f"{expected:.6g} nats")


def printed_is_refuted(seed: int) -> Measured:
    """Test that the term L1 of a VAE's objective, as printed in the essay, is no divergence.

    At a random small scale of Encoder, the printed L1 is negative, but a divergence is never negative. The measured
    value is 0 if the printed L1 is negative and the corrected L1 positive, else 1.
    """
    eps = Corners(LATENT, 1, seed=0).answer("sample", (), 0)[0]
    log_scale = -1.0 - random.Random(seed).random()
    z, determinant = math.exp(log_scale) * eps, torch.full((len(eps),), LATENT * log_scale, dtype=D)
    told = standard_normal(eps), determinant, standard_normal(z)
    printed, corrected = float(printed_divergence(*told)), float(divergence(*told))
    detail = f"at s = {math.exp(log_scale):.3g} it is {printed:.3g}, and the divergence {corrected:.3g}"
    return Measured("Encoder", 0.0 if printed < 0 < corrected else 1.0, 0.0, "L1", detail)


def _affine_decoder(encoder: Factory, seed: int) -> Grammar:
    """Make a VAE grammar with an affine Decoder, whose likelihood is known, and promise a bound of the likelihood."""
    world, noise = arrays(normal(seed, BATCH).float(), batch=BATCH), gaussian((LATENT,), batch=BATCH)
    grammar = normal_vae(world, noise, encoder, Factory.of(nn.Linear, LATENT, SIZE))
    return replace(grammar, guarantee=promised(Exact(), Surrogate(truth=Factory.of(minus_log_likelihood), draws=100)))


SUITE = Suite(
    "vae",
    (
        Case("dense", dense, instances=20),
        Case("convolutional", convolutional, instances=10),
        Case("affine", affine, instances=2),
        Case("triangular", triangular, instances=2),
        Case("principal", principal, instances=1, learning=Learning(1000, smaller_and_smaller(1000, 0.05))),
    ),
    (
        Study("L1 is the analytic divergence", corrected_is_analytic, 20),
        Study("the essay's L1 as printed is no divergence: refuted", printed_is_refuted, 5),
    ),
)
