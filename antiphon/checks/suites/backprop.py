"""Test the grammar of backpropagation (essay, Grammar 1): gradients are exact, and the players come to rest."""

import itertools
import math
import random
from dataclasses import replace

import torch
from torch import nn
from torch.nn.functional import mse_loss

from antiphon.checks.measured import Measured
from antiphon.checks.suite import Case, Learning, Study, Suite
from antiphon.coordinator.regrouping import check_regrouping
from antiphon.envs import arrays
from antiphon.grammars import Arrives, Factory, Grammar, OracleDeclaration, promised
from antiphon.grammars.library import backprop
from antiphon.grammars.library.networks import convolutional_layers, dense_layers
from antiphon.grammars.random_grammars import sample_grammar, samples
from antiphon.grammars.regrouping import coarsen, refine, units

BATCH = 8


def dense(seed: int) -> Grammar:
    """Make a backpropagation grammar of a random ReLU network with one to four hidden layers, on random labels."""
    choose = random.Random(seed)
    inputs, classes = choose.randint(2, 6), choose.randint(2, 4)
    widths = [choose.randint(2, 8) for _ in range(choose.randint(1, 4))]
    return backprop(labelled(seed, (inputs,), classes), dense_layers((inputs,), widths, classes))


def convolutional(seed: int) -> Grammar:
    """Make a backpropagation grammar of a convolution, a max-pool, a dense layer and an output layer."""
    choose = random.Random(seed)
    channels, classes = choose.randint(1, 3), choose.randint(2, 4)
    example = (channels, 4, 6)
    layers = convolutional_layers(example, [choose.randint(1, 4)], [choose.randint(2, 6)], classes)
    return backprop(labelled(seed, example, classes), layers)


def regression(seed: int) -> Grammar:
    """Make a backpropagation grammar of a small tanh network, and promise that its players come to rest.

    Each batch is the whole data set, so that there is no noise.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(BATCH, 2, generator=generator, dtype=torch.float64)
    y = torch.randn(BATCH, 1, generator=generator, dtype=torch.float64)
    layers = {
        "Hidden": Factory.of(nn.Linear, 2, 4, dtype=torch.float64),
        "bend": Factory.of(nn.Tanh),
        "Output": Factory.of(nn.Linear, 4, 1, dtype=torch.float64),
    }
    grammar = backprop(arrays(x, y, batch=BATCH, shuffle=False), layers, Factory.of(mse_loss))
    return replace(grammar, guarantee=grammar.guarantee + promised(Arrives()))


def scales(seed: int) -> Measured:
    """Test that the gradients do not depend on how a network is divided into players (essay, Remark 3).

    One random network is divided in three ways: one player, one player per layer, and one player per unit. The measured
    value is the largest difference of the gradients from those of the layers.
    """
    choose = random.Random(seed)
    sizes = [choose.randint(2, 5) for _ in range(choose.randint(3, 5))]
    layers: dict[str, Factory] = {}
    for index, (inputs, outputs) in enumerate(itertools.pairwise(sizes), start=1):
        layers[f"Layer{index}"] = Factory.of(nn.Linear, inputs, outputs, dtype=torch.float64)
        layers[f"bend{index}"] = Factory.of(nn.Tanh)
    game = backprop(samples(BATCH, (sizes[0],), (sizes[-1],)), layers, Factory.of(mse_loss))
    players = [player.name for player in game.query.players]
    whole, finest = coarsen(game, players, "Network"), refine(game, *players, into=units)
    found = max(check_regrouping(each, seed=seed, bound=math.inf) for each in (whole, finest))
    return Measured(
        "all", found, 1e-10, detail=f"1 network, {len(players)} layers, {len(finest.grammar.query.players)} units"
    )


def labelled(seed: int, example: tuple[int, ...], classes: int) -> OracleDeclaration:
    """Declare a data set of normal examples of the shape `example`, float32, with random labels."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(BATCH, *example, generator=generator, dtype=torch.float64)
    return arrays(x.float(), torch.randint(classes, (BATCH,), generator=generator), batch=BATCH)


SUITE = Suite(
    "backprop",
    (
        Case("random graphs", sample_grammar, instances=40),
        Case("dense", dense, instances=20),
        Case("convolutional", convolutional, instances=10),
        Case("small", regression, instances=2, learning=Learning(2000)),
    ),
    (Study("network, layer and unit players receive the same", scales, instances=5),),
)
