"""Experiments with the variational autoencoder: images of digits, MNIST or the user's own data."""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from antiphon.checks.suite import Suite
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.inference import make_operator
from antiphon.grammars.library.generative import (
    ConvolutionalAnalysis,
    ConvolutionalSynthesis,
    DenseAnalysis,
    DenseSynthesis,
    Isotropic,
    Reparametrized,
)
from antiphon.grammars.library.vae import vae
from antiphon.grammars.oracle import State
from antiphon.grammars.variational import bernoulli, isotropic, standard_normal
from antiphon.oracles import gaussian
from antiphon.recipes.common.images import SHIPPED, check_halvings, environment, example_of, held_out
from antiphon.recipes.common.recipe import Evaluation, Recipe, trained
from antiphon.recipes.common.tables import Arguments, Count, EvaluationTable, Table

DRAWS = 10
"""Number of draws of the noise for each image when the bound is evaluated."""


class VaeTable(Table):
    """Settings of an experiment with a VAE.

    data: "digits", "mnist", or "module:function"; the function is called with data_arguments, and returns an oracle's
    declaration.
    binary: how pixels are drawn, see `antiphon.envs.mnist`.
    latent: dimensions of z.
    widths: of Encoder's dense layers.
    channels: of its convolutions. Decoder has them in reverse.
    """

    data: str = "digits"
    data_arguments: Arguments = Field(default={})
    binary: Literal["no", "fixed", "dynamic"] = "no"
    batch: Count = 128
    network: Literal["dense", "convolutional"] = "dense"
    latent: Count = 20
    widths: list[Count] = Field(default=[400])
    channels: list[Count] = Field(default=[32, 64])
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"


def build(table: VaeTable) -> Grammar:
    """The grammar of a table. Raises ExperimentError, OracleError or ShapeError if its parts do not fit."""
    image = table.network == "convolutional"
    nature = environment("vae", table.data, table.data_arguments, table.batch, image, table.binary)
    example, outputs = example_of(nature), 2 * table.latent
    if image:
        check_halvings("vae", example, table.channels)
        network = Factory.of(ConvolutionalAnalysis, example, outputs, table.channels)
        decoder = Factory.of(ConvolutionalSynthesis, table.latent, example, table.channels[::-1])
    else:
        network = Factory.of(DenseAnalysis, example, outputs, table.widths)
        decoder = Factory.of(DenseSynthesis, table.latent, example, table.widths[::-1])
    encoder, noise = Factory.of(Reparametrized, network), gaussian((table.latent,), batch=table.batch)
    if table.likelihood == "gaussian":
        return vae(nature, noise, encoder, Factory.of(Isotropic, decoder), Factory(isotropic))
    return vae(nature, noise, encoder, decoder, Factory(bernoulli))


def evaluate(table: VaeTable, evaluation: EvaluationTable, grammar: Grammar, states: Mapping[str, State]) -> Evaluation:
    """The negative variational bound of each test image, in nats."""
    x = held_out(table.data, table.network == "convolutional", table.binary)
    found = bounds(grammar, states, x, evaluation.first_seed)
    return Evaluation("negative variational bound", "images", tuple(found.tolist()), " nats")


@torch.no_grad()
def bounds(grammar: Grammar, states: Mapping[str, State], x: Tensor, seed: int) -> Tensor:
    """L1 + L2 of each image, a mean over `DRAWS` draws of standard normal noise. x: (n, ...). Returns (n,)."""
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


def judges(table: VaeTable) -> bool:
    """Whether there is a test split: the user's own data has none."""
    return table.data in SHIPPED


def suite() -> Suite:
    """The suite that `antiphon check` measures."""
    from antiphon.checks.suites.vae import SUITE  # here, since only `antiphon check` needs it

    return SUITE


RECIPE = Recipe("vae", VaeTable, build, evaluate, judges, suite=suite)
