"""Test REINFORCE on random networks, and its mean response against closed forms and reparametrised gradients."""

import itertools
import random

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid

from antiphon.checks.suite import Case, Suite
from antiphon.checks.suites.backprop import labelled
from antiphon.checks.suites.random_networks import promising, random_layers
from antiphon.envs import arrays
from antiphon.grammars import Estimated, Factory, Grammar, PlayerLoss, Port
from antiphon.grammars.library.networks import Perceptron
from antiphon.grammars.library.reinforce import gaussian_units, reinforce, switches

MANY = 2000
"""Size of the batch of instances whose mean response is measured."""


def networks(seed: int) -> Grammar:
    """Make a grammar of a random network with two hidden layers of switches, or of units with normal noise."""
    inputs, layers, classes = random_layers(seed, hidden=2)
    units = random.Random(seed).choice([Factory(switches), Factory.of(gaussian_units, 0.5)])
    baseline = Factory.of(Perceptron, inputs, 1, (4,))
    return promising(reinforce(labelled(seed, (inputs,), classes), layers, baseline, units), without=Estimated)


def normal(seed: int) -> Grammar:
    """Make a grammar of normal units. torch computes the gradient along their reparametrised path."""
    return promising(_many(seed, Factory.of(gaussian_units, 1.0)), Estimated(("Hidden",), draws=40), without=Estimated)


def enumerated(seed: int) -> Grammar:
    """Make a grammar of switches so few that the mean cost is known: a sum over all of their states."""
    values = Port("Nature.sample", 0), Port("Nature.sample", 1)
    known = PlayerLoss.of(mean_cost, *values, players=("Hidden", "Output"))
    return promising(_many(seed, Factory(switches)), Estimated(("Hidden",), known, draws=40), without=Estimated)


def mean_cost(hidden: nn.Module, output: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the mean cost of the batch over all states of the switches, 0-d."""
    logits = hidden(x)
    total = torch.zeros_like(logits[:, 0])
    for state in itertools.product((0.0, 1.0), repeat=logits.shape[1]):
        bits = logits.new_tensor(state)
        likely = (bits * logsigmoid(logits) + (1 - bits) * logsigmoid(-logits)).sum(1).exp()
        total = total + likely * cross_entropy(output(bits.expand_as(logits)), y, reduction="none")
    return total.mean()


def _many(seed: int, units: Factory) -> Grammar:
    """Make a grammar of a hidden layer of three units and an output layer, with a large batch of few examples."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(4, 2, generator=generator), torch.arange(4) % 3
    rows = torch.arange(MANY) % 4
    layers = {"Hidden": Factory.of(nn.Linear, 2, 3), "Output": Factory.of(nn.Linear, 3, 3)}
    nature = arrays(x[rows], y[rows], batch=MANY, shuffle=False)
    return reinforce(nature, layers, Factory.of(Perceptron, 2, 1, (8,)), units)


SUITE = Suite(
    "reinforce",
    (
        Case("networks", networks),
        Case("normal units", normal, instances=1),
        Case("switches, all states", enumerated, instances=1),
    ),
)
