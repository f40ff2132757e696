"""Test synthetic gradients on random networks, on a guess with a known optimum, and on a task that they learn."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from antiphon.agents.specification import AgentSpecification
from antiphon.checks.suite import Case, Learning, Suite, smaller_and_smaller
from antiphon.checks.suites.backprop import labelled
from antiphon.checks.suites.random_networks import clusters, promising, random_layers, taught
from antiphon.checks.suites.regulators import Modules
from antiphon.grammars import Aligns, Factory, Grammar, Learned, Port, promised
from antiphon.grammars.library import synthetic_gradients
from antiphon.grammars.library.networks import activated_layers
from antiphon.grammars.library.synthetic_gradients import Guesser


def dense(seed: int) -> Grammar:
    """Make a grammar of a random dense network with three hidden layers, on random labels."""
    inputs, layers, classes = random_layers(seed)
    made = synthetic_gradients(labelled(seed, (inputs,), classes), layers, _guessers(layers, (6,)))
    return promising(made, without=(Aligns, Learned))


def still(seed: int) -> Grammar:
    """Make a grammar in which only an affine Guess learns. Its optimum is a linear regression of the gradients."""
    layers = activated_layers((3,), [4], 2)
    made = synthetic_gradients(taught(seed, 3, 2, 32), layers, _guessers(layers, ()), Factory.of(mse_loss))
    return replace(made, guarantee=promised(Learned(("Guess1",), Factory.of(from_regression), tolerance=0.02)))


def learning(seed: int) -> Grammar:
    """Make a grammar of a network that learns to tell clusters apart. Its responses align with the gradients."""
    layers = activated_layers((8,), [20], 4)
    made = synthetic_gradients(clusters(seed), layers, _guessers(layers, (64,)))
    return promising(made, Aligns(("Dense1",), degrees=85.0), without=(Aligns, Learned))


def from_regression(modules: Modules, values: Mapping[Port, Tensor]) -> Tensor:
    """Return the relative distance of Guess1 from the least-squares regression of the true gradients on S and y."""
    played, loss = values[Port("Bend1")], values[Port("Loss")]
    (delta,) = torch.autograd.grad(loss, played, retain_graph=True)
    features = torch.cat([played.detach(), values[Port("Nature.sample", 1)], torch.ones_like(played[:, :1])], 1)
    best = features @ torch.linalg.lstsq(features, len(played) * delta).solution
    return (values[Port("Guess1")] - best).norm() / best.norm()


def _guessers(layers: Mapping[str, Factory], widths: tuple[int, ...]) -> dict[str, Factory]:
    sizes = {name: layer.arguments[1] for name, layer in layers.items() if layer.target is nn.Linear}
    labels = sizes.pop("Output")
    return {name: Factory.of(Guesser, size, labels, widths) for name, size in sizes.items()}


SUITE = Suite(
    "synthetic-gradients",
    (
        Case("dense", dense),
        Case("layers still", still, instances=2, learning=Learning(1500, smaller_and_smaller(1500, 0.05))),
        Case("learning", learning, instances=4, learning=Learning(200, AgentSpecification.of("Adam", {"lr": 0.01}))),
    ),
)
