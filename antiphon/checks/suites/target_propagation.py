"""Test target propagation on random networks, on an inverse that is known, and on a task that it learns."""

import functools
import itertools
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn
from torch.nn.functional import mse_loss

from antiphon.agents.specification import AgentSpecification
from antiphon.checks.suite import Case, Learning, Suite, smaller_and_smaller
from antiphon.checks.suites.backprop import BATCH, labelled
from antiphon.checks.suites.random_networks import clusters, promising, random_layers, taught
from antiphon.checks.suites.regulators import Modules
from antiphon.grammars import Aligns, Factory, Grammar, Learned, OracleDeclaration, Port, promised
from antiphon.grammars.library import target_propagation
from antiphon.grammars.library.networks import Perceptron, activated_layers
from antiphon.oracles import gaussian


def dense(difference: bool, seed: int) -> Grammar:
    """Make a grammar of a random dense network with three hidden layers, on random labels."""
    inputs, layers, classes = random_layers(seed)
    made = target_propagation(
        labelled(seed, (inputs,), classes), layers, *_inverted(layers, BATCH, (6,)), rate=0.3, difference=difference
    )
    return promising(made, without=(Aligns, Learned))


def still(seed: int) -> Grammar:
    """Make a grammar in which only the inverse of a layer learns. The layer is affine, so it has an exact inverse."""
    layers = {name: Factory.of(nn.Linear, *size) for name, size in {"First": (2, 3), "Second": (3, 5)}.items()}
    layers["Output"] = Factory.of(nn.Linear, 5, 2)
    inverses, noises = _inverted(layers, 32, ())
    made = target_propagation(taught(seed, 2, 2, 32), layers, inverses, noises, Factory.of(mse_loss))
    return replace(made, guarantee=promised(Learned(("Inverse2",), Factory.of(from_input), tolerance=0.05)))


def learning(seed: int) -> Grammar:
    """Make a grammar of a network that learns to tell clusters apart. Its responses align with the gradients."""
    layers = activated_layers((8,), [20, 16], 4)
    made = target_propagation(clusters(seed), layers, *_inverted(layers, 64, ()))
    return promising(made, Aligns(("Dense1", "Dense2"), degrees=85.0), without=(Aligns, Learned))


def from_input(modules: Modules, values: Mapping[Port, Tensor]) -> Tensor:
    """Return the relative distance of the inverse's answer from the input of the layer that it inverts, 0-d."""
    played = values[Port("First")]
    return (modules["Inverse2"](modules["Second"](played)) - played).norm() / played.norm()


def _inverted(
    layers: Mapping[str, Factory], batch: int, widths: tuple[int, ...]
) -> tuple[dict[str, Factory], dict[str, OracleDeclaration]]:
    """Return an inverse, and an oracle of noise, for each hidden layer except the first, by the layer's name."""
    hidden = [(name, layer.arguments[1]) for name, layer in layers.items() if layer.target is nn.Linear][:-1]
    sizes = {name: (outputs, inputs) for (_, inputs), (name, outputs) in itertools.pairwise(hidden)}
    inverses = {name: Factory.of(Perceptron, *size, widths) for name, size in sizes.items()}
    return inverses, {name: gaussian((size[1],), batch=batch, scale=0.3) for name, size in sizes.items()}


SUITE = Suite(
    "target-propagation",
    (
        Case("difference", functools.partial(dense, True)),
        Case("plain", functools.partial(dense, False)),
        Case("layers still", still, instances=2, learning=Learning(1500, smaller_and_smaller(1500, 0.05))),
        Case("learning", learning, instances=4, learning=Learning(100, AgentSpecification.of("Adam", {"lr": 0.01}))),
    ),
)
