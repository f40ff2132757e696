"""Grammar 2: exact gradients of a bound, which is the likelihood where a closed form says so."""

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, distributions, nn

from antiphon.agents import AgentSpecification
from antiphon.checks.suites.vae import (
    Triangular,
    corners,
    log_likelihood,
    normal,
    printed_divergence,
    probabilistic_pca,
)
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.envs import arrays
from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import Category
from antiphon.grammars.library import vae
from antiphon.grammars.library.generative import Isotropic, Reparametrized
from antiphon.grammars.oracle import State
from antiphon.grammars.precision import make_double
from antiphon.grammars.query import Kind
from antiphon.grammars.reference import reference_gradients
from antiphon.grammars.response import Product
from antiphon.grammars.variational import isotropic
from antiphon.oracles import gaussian

D = torch.float64
LATENT, SIZE = 2, 6


class Curved(nn.Sequential):
    """A network of an Encoder that is not affine."""

    def __init__(self, size: int, latent: int) -> None:
        super().__init__(nn.Linear(size, 5, dtype=D), nn.Tanh(), nn.Linear(5, 2 * latent, dtype=D))


class Spread(nn.Module):
    """z = s eps, whatever x is."""

    def __init__(self, latent: int, log_scale: float) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.full((latent,), log_scale, dtype=D))

    def forward(self, eps: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.log_scale.exp() * eps, self.log_scale.sum().expand(len(x))


AFFINE = Factory.of(Reparametrized, Factory.of(nn.Linear, SIZE, 2 * LATENT, dtype=D))
DECODER = Factory.of(Isotropic, Factory.of(nn.Linear, LATENT, SIZE, dtype=D))


def on_corners(x: Tensor, encoder: Factory = AFFINE) -> Grammar:
    """An affine-decoder VAE over all of x, its means over the noise exact."""
    repeated = x.repeat_interleave(2 * LATENT, dim=0)
    world = arrays(repeated, batch=len(repeated), shuffle=False)
    return vae(world, corners(LATENT, len(x)), encoder, DECODER, Factory(isotropic))


def drawn(x: Tensor, encoder: Factory = AFFINE) -> Grammar:
    """The same with noise that is drawn."""
    noise = gaussian((LATENT,), batch=len(x), dtype=D)
    return vae(arrays(x, batch=len(x)), noise, encoder, DECODER, Factory(isotropic))


def examples(count: int, seed: int = 0) -> Tensor:
    return normal(seed, count, SIZE)


def likelihood(x: Tensor, decoder: dict[str, Tensor]) -> float:
    """The mean log-likelihood of x, the latent integrated out."""
    return float(log_likelihood(x, *(decoder[name] for name in ("network.weight", "network.bias", "log_scale"))))


def losses(grammar: Grammar, seed: int = 0) -> tuple[float, float]:
    """L1 and L2 at the parameters of the beginning."""
    with InlineExecutor(assign(grammar, RECORDER, seed=seed)) as executor:
        played = executor.play(1).losses
    return played["L1"].values[0], played["L2"].values[0]


def parameters(grammar: Grammar, seed: int = 0) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    with InlineExecutor(assign(grammar, RECORDER, seed=seed)) as executor:
        states = executor.states()
    return states["Encoder"]["parameters"], states["Decoder"]["parameters"]


def test_who_plays_and_what_is_promised():
    grammar = vae(
        arrays(examples(9), batch=9), gaussian((LATENT,), batch=9, dtype=D), AFFINE, DECODER, Factory(isotropic)
    )
    assert [(node.name, node.kind) for node in grammar.query.nodes] == [
        ("Environment.sample", Kind.ORACLE), ("Noise.sample", Kind.ORACLE), ("Encoder", Kind.PLAYER),
        ("Decoder", Kind.PLAYER), ("Noise.log_density", Kind.ORACLE), ("prior", Kind.OPERATOR), ("L1", Kind.LOSS),
        ("L2", Kind.LOSS),
    ]  # fmt: skip
    assert grammar.guarantee.categories == (Category.EXACT, Category.SURROGATE)
    assert grammar.response == chain_rule(grammar.query, grammar.objective)


def test_noise_tells_its_density_and_is_asked_no_gradient():
    response = on_corners(examples(3)).response
    assert "Noise.log_density" not in {node.of for node in response.nodes if isinstance(node, Product)}


def test_labels_are_not_looked_at():
    x = examples(8)
    noise = gaussian((LATENT,), batch=8, dtype=D)
    grammars = [
        vae(arrays(*columns, batch=8), noise, AFFINE, DECODER, Factory(isotropic))
        for columns in ((x,), (x, torch.arange(8)))
    ]
    assert losses(grammars[0]) == losses(grammars[1])


@pytest.mark.parametrize(
    "encoder",
    [
        Factory.of(make_double, Factory.of(Triangular, SIZE, LATENT)),
        Factory.of(Reparametrized, Factory.of(Curved, SIZE, LATENT)),
    ],
)
def test_every_response_is_the_gradient_of_the_bound(encoder):
    grammar = vae(
        arrays(examples(9), batch=9), gaussian((LATENT,), batch=9, dtype=D), encoder, DECODER, Factory(isotropic)
    )
    with InlineExecutor(assign(grammar, RECORDER, seed=3)) as executor:
        states = executor.states()
        executor.play(1)
        heard, expected = delivered(executor), reference_gradients(grammar, states, 3, 0)
    for player, gradients in expected.items():
        for one, two in zip(heard[player], gradients, strict=True):
            assert (one - two).abs().max() <= 1e-10 * two.abs().max(), player


def analytic(x: Tensor, encoder: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The divergence of an affine Encoder from the prior by torch's closed form, and its mean sum of log s."""
    mean, log_scale = nn.functional.linear(x, encoder["network.weight"], encoder["network.bias"]).chunk(2, 1)
    posterior, prior = distributions.Normal(mean, log_scale.exp()), distributions.Normal(0.0, 1.0)
    return distributions.kl_divergence(posterior, prior).sum(1).mean(), log_scale.sum(1).mean()


def with_literal_divergence(grammar: Grammar) -> Grammar:
    printed = Factory(printed_divergence)
    nodes = (replace(node, operator=printed) if node.name == "L1" else node for node in grammar.query.nodes)
    query = replace(grammar.query, nodes=tuple(nodes))
    return Grammar("literal", query, chain_rule(query, grammar.objective), grammar.objective)


@pytest.mark.parametrize("seed", range(5))
def test_the_corrected_divergence_is_the_analytic_one_and_the_printed_one_is_not(seed):
    x = examples(20, seed)
    grammar = on_corners(x)
    divergence, log_scale = analytic(x, parameters(grammar, seed)[0])
    assert losses(grammar, seed)[0] == pytest.approx(float(divergence), rel=1e-12)
    printed = losses(with_literal_divergence(grammar), seed)[0]
    assert printed == pytest.approx(float(divergence + log_scale), rel=1e-12)
    assert abs(printed - divergence) > 0.01


@pytest.mark.parametrize("log_scale", [0.0, -2.0, -8.0])
def test_the_printed_divergence_rewards_a_scale_of_zero_and_the_corrected_one_punishes_it(log_scale):
    grammar = on_corners(examples(3), Factory.of(Spread, LATENT, log_scale))
    square = math.exp(2 * log_scale)
    assert losses(grammar)[0] == pytest.approx(LATENT * ((square - 1) / 2 - log_scale), abs=1e-12)  # least at s = 1
    assert losses(with_literal_divergence(grammar))[0] == pytest.approx(LATENT * (square - 1) / 2, abs=1e-12)  # at 0


class Posterior(nn.Module):
    """The true posterior of `DECODER` with these parameters, as an Encoder: the bound is tight at it."""

    def __init__(self, weight: Tensor, bias: Tensor, log_scale: Tensor) -> None:
        super().__init__()
        square = log_scale.exp().square()
        precision = weight.T @ weight / square + torch.eye(LATENT, dtype=D)
        self.slope = nn.Parameter(torch.linalg.solve(precision, weight.T / square))
        self.bias, self.lower = bias, nn.Parameter(torch.linalg.cholesky(torch.linalg.inv(precision)))

    def forward(self, eps: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        z = (x - self.bias) @ self.slope.T + eps @ self.lower.T
        return z, self.lower.diagonal().log().sum().expand(len(x))


@pytest.mark.parametrize("seed", range(20))
def test_the_bound_is_below_the_log_likelihood_and_tight_at_the_posterior(seed):
    x = examples(10, seed)
    grammar = on_corners(x)
    decoder = parameters(grammar, seed)[1]
    truth = -likelihood(x, decoder)
    assert sum(losses(grammar, seed)) > truth
    posterior = Factory.of(Posterior, *(decoder[name] for name in ("network.weight", "network.bias", "log_scale")))
    assert sum(losses(on_corners(x, posterior), seed)) == pytest.approx(truth, rel=1e-12)


def test_the_closed_form_is_that_of_scikit_learn():
    x = examples(300)
    peer = PCA(LATENT).fit(x.numpy())
    found, noise = probabilistic_pca(x, degrees=1)  # it divides by n - 1
    assert float(found) == pytest.approx(peer.score(x.numpy()), rel=1e-10)
    assert float(noise) == pytest.approx(peer.noise_variance_, rel=1e-10)
    assert found < probabilistic_pca(x)[0]


def learn(grammar: Grammar, rounds: int, rate: float) -> Mapping[str, State]:
    agent = AgentSpecification.of(
        "Adam", {"lr": rate}, scheduler="CosineAnnealingLR", scheduler_arguments={"T_max": rounds}
    )
    with InlineExecutor(assign(grammar, agent)) as executor:
        executor.play(rounds)
        return executor.states()


@pytest.mark.parametrize("exact", [True, False], ids=["exact means", "drawn noise"])
def test_an_affine_decoder_reaches_probabilistic_pca(exact):
    x = examples(300)
    measure = on_corners(x)
    states = learn(measure if exact else drawn(x), rounds=1000, rate=0.05)
    with InlineExecutor(assign(measure, RECORDER)) as executor:
        players = {
            name: {**executor.states()[name], "parameters": states[name]["parameters"]}
            for name in ("Encoder", "Decoder")
        }
        executor.load({**executor.states(), **players}, 0)
        found = -sum(each.values[0] for each in executor.play(1).losses.values())
    best, variance = map(float, probabilistic_pca(x))
    decoder = states["Decoder"]["parameters"]
    assert found <= best + 1e-9
    assert found == pytest.approx(best, rel=1e-3 if exact else 1e-2)
    assert float(decoder["log_scale"].exp().square()) == pytest.approx(variance, rel=1e-2 if exact else 2e-2)
