"""Experiments with variational autoencoders: images of digits, MNIST or the user's own data."""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.inference import make_operator
from antiphon.grammars.library import generative
from antiphon.grammars.library.vae import vae
from antiphon.grammars.oracle import State
from antiphon.grammars.variational import bernoulli, isotropic, standard_normal
from antiphon.oracles import gaussian
from antiphon.recipes.common.data import DataTable, check_halvings, example_of
from antiphon.recipes.common.images import NETWORKS, SHIPPED, environment, held_out
from antiphon.recipes.common.recipe import LOWEST, Evaluation, Recipe, trained
from antiphon.recipes.common.tables import Count, EvaluationTable

DRAWS = 10
"""Number of noise draws for each image in the evaluation of the variational bound."""


class VaeTable(DataTable):
    """Settings of an experiment with a VAE.

    data: "digits", "mnist", or "module:function" for the user's own data.
    binary: whether pixels are replaced by random draws of 0 or 1: "no", "fixed" (once), or "dynamic" (in each round).
    latent: dimension of z.
    widths, channels: widths of Encoder's dense layers, or channels of its convolutions. Decoder has the reverse.
    likelihood: distribution of the pixels, given z.
    """

    batch: Count = 128
    binary: Literal["no", "fixed", "dynamic"] = "no"
    network: Literal["dense", "convolutional"] = "dense"
    latent: Count = 20
    widths: list[Count] = Field(default=[400])
    channels: list[Count] = Field(default=[32, 64])
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"


def build(table: VaeTable) -> Grammar:
    """Make the VAE grammar from the settings in `table`.

    Raises ExperimentError, OracleError or ShapeError for settings that do not fit together.
    """
    image = table.network == "convolutional"
    nature = environment("vae", table, image, table.binary)
    example, outputs = example_of(nature), 2 * table.latent
    if image:
        check_halvings("vae", example, table.channels)
    sizes, (analysis, synthesis) = table.channels if image else table.widths, NETWORKS[table.network]
    network = Factory.of(analysis, example, outputs, sizes)
    decoder = Factory.of(synthesis, table.latent, example, sizes[::-1])
    encoder, noise = Factory.of(generative.Reparametrized, network), gaussian((table.latent,), batch=table.batch)
    if table.likelihood == "gaussian":
        return vae(nature, noise, encoder, Factory.of(generative.Isotropic, decoder), Factory(isotropic))
    return vae(nature, noise, encoder, decoder, Factory(bernoulli))


def evaluate(table: VaeTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]) -> Evaluation:
    """Compute the negative variational bound, in nats, of each test image under the trained VAE."""
    x = held_out(table.data, table.network == "convolutional", table.binary)
    found = bounds(grammar, states, x, evaluation.first_seed)
    return Evaluation("negative variational bound", "images", tuple(found.tolist()), " nats", goal=LOWEST)


@torch.no_grad()
def bounds(grammar: Grammar, states: Mapping[str, State], x: Tensor, seed: int) -> Tensor:
    """Return the negative variational bound (L1 + L2) of each image, averaged over `DRAWS` noise draws, (n,).

    states: the saved state of each player. x: images, (n, ...). seed: seed of the noise.
    """
    encoder, decoder = trained(grammar, "Encoder", states), trained(grammar, "Decoder", states)
    (likelihood,) = (node.operator for node in grammar.query.nodes if node.name == "L2")
    latent = grammar.query.by_name["Noise.sample"].outputs[0].shape[1]
    assert isinstance(latent, int) and likelihood is not None
    cost = make_operator(likelihood)
    found: list[Tensor] = []
    generator = torch.Generator().manual_seed(seed)
    for example in x:
        repeated = example.expand(DRAWS, *example.shape)
        eps = torch.randn(DRAWS, latent, generator=generator)
        z, determinant = encoder(eps, repeated)
        played = decoder(z)
        l1 = (standard_normal(eps) - determinant - standard_normal(z)).mean()
        found.append(l1 + cost(repeated, *((played,) if isinstance(played, Tensor) else played)))
    return torch.stack(found)


RECIPE = Recipe("vae", VaeTable, build, evaluate, shipped=SHIPPED, suite="antiphon.checks.suites.vae:SUITE")
