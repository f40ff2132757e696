"""Test the kickback grammar (essay, Grammar 5): responses are exact in the two top layers, sign-correct in the others.

Sign-correct responses need a premise. The kick of a layer is its vector-Jacobian product with a cotangent of ones. The
essay's premise is that all kicks are positive; this is not sufficient. A sufficient premise is that all weights are
coherent, which means that each weight has the sign of its output unit.
"""

import functools
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from antiphon.checks.measured import Measured
from antiphon.checks.suite import Case, Learning, Study, Suite
from antiphon.envs import arrays
from antiphon.grammars import Arrives, Factory, Grammar, OracleDeclaration, promised
from antiphon.grammars.library import kickback
from antiphon.grammars.library.coherence import coherent, count_signs, feedback, kick_error
from antiphon.grammars.library.counterexample import Counterexample, smallest_counterexample
from antiphon.grammars.library.kicking import OutputLayer, RectifierLayer, Weights, kicking_layers
from antiphon.grammars.response import Product

BATCH = 32


def dense(signed: bool, seed: int) -> Grammar:
    """Make a kickback grammar of four ReLU layers of random widths and an output layer.

    Weights above the first layer are coherent: each has the sign of its output unit. Biases have both signs.
    signed: if true, every second unit negates its output.
    """
    choose = random.Random(seed)
    inputs, widths = choose.randint(2, 6), [choose.randint(4, 8) for _ in range(4)]
    layers = kicking_layers((inputs,), widths, signed=signed, weights=Weights.COHERENT)
    return kickback(targets(seed, (inputs,)), layers)


UNSIGNED, SIGNED = functools.partial(dense, False), functools.partial(dense, True)


def convolutional(seed: int) -> Grammar:
    """Make a kickback grammar of two convolutions, a ReLU layer and an output layer.

    The weights are coherent: each has the sign of its output unit.
    """
    choose = random.Random(seed)
    example = (choose.randint(1, 3), choose.randint(4, 7), choose.randint(4, 7))
    channels = [choose.randint(1, 3), choose.randint(1, 3)]
    layers = kicking_layers(example, [choose.randint(2, 5)], channels, signed=bool(seed % 2), weights=Weights.COHERENT)
    return kickback(targets(seed, example), layers)


def realisable(seed: int) -> Grammar:
    """Make a kickback grammar of a network that can fit its eight examples, so that all gradients fall to zero.

    Otherwise only the two top layers would come to rest: in lower layers, the sum of the responses over the batch is
    zero at other parameters than the sum of the gradients.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(8, 3, generator=generator)
    y = torch.tanh(x @ torch.randn(3, 1, generator=generator))
    layers = kicking_layers((3,), [16, 16, 16], signed=True, weights=Weights.COHERENT)
    grammar = kickback(arrays(x, y, batch=8, shuffle=False), layers)
    return replace(grammar, guarantee=promised(Arrives(sense="all of them, at a stationary point of the objective")))


def targets(seed: int, example: tuple[int, ...]) -> OracleDeclaration:
    """Declare a data set of normal examples of the shape `example`, with normal targets."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(BATCH, *example, generator=generator), torch.randn(BATCH, 1, generator=generator)
    return arrays(x, y, batch=BATCH)


def refuted(seed: int) -> Measured:
    """Test that responses can have the wrong sign although all kicks are positive (the essay claims that they cannot).

    The kick of a layer is its vector-Jacobian product with a cotangent of ones. Search for the smallest network with
    positive kicks and a wrong sign. The measured value is 0 if it exists and torch confirms its signs, else 1.
    """
    found = smallest_counterexample()
    if found is None:
        return Measured("all", 1.0, 0.0, detail="no counterexample of up to 5 units")
    here = feedback(modules_of(found), torch.ones(1, 1, dtype=torch.float64))
    of = here[found.layer - 1]
    signs = bool(coherent(here).all()), float(of.kick[0, found.unit - 1]), float(of.factor[0, found.unit - 1])
    confirmed = signs == (True, found.kick, found.factor)
    return Measured("all", float(not confirmed), 0.0, detail="; ".join(str(found).splitlines()))


def modules_of(found: Counterexample) -> list[RectifierLayer | OutputLayer]:
    """Return the layers of the network that a counterexample describes, as torch modules in float64."""
    return [made_of(weights, biases) for weights, biases in zip(found.weights, (*found.biases, None), strict=True)]


def made_of(weights: tuple[tuple[int, ...], ...], biases: tuple[int, ...] | None) -> RectifierLayer | OutputLayer:
    """Return a kickback layer with the given weights and biases, float64; an output layer if `biases` is None."""
    inputs = len(weights[0])
    layer = (OutputLayer(inputs) if biases is None else RectifierLayer(inputs, len(weights))).double()
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor(weights))
        layer.linear.bias.copy_(torch.tensor(biases or [0]))
    return layer


def grammar_of(found: Counterexample) -> Grammar:
    """Make the kickback grammar of the network that a counterexample describes.

    Its data set is a single example, 1, with the target -1.
    """
    parts = zip(found.weights, (*found.biases, None), strict=True)
    layers = {f"Layer{index}": Factory.of(made_of, *part) for index, part in enumerate(parts, start=1)}
    one = torch.ones(1, 1, dtype=torch.float64)
    return kickback(arrays(one, -one, batch=1), layers)


def mixed(seed: int) -> Measured:
    """Test that positive kicks do not imply right signs: search random networks with weights of both signs.

    The kick of a layer is its vector-Jacobian product with a cotangent of ones. Only examples on which all kicks are
    positive count. The measured value is 0 if a response below the two top layers has the wrong sign, else 1.
    """
    torch.manual_seed(seed)
    pairs = opposite = 0
    for _ in range(60):
        layers = [make().double() for make in kicking_layers((5,), [4, 4, 4]).values()]
        for layer in layers:
            torch.nn.init.normal_(layer.linear.weight, 0.0 if layer is layers[0] else 0.5)
        here = feedback(layers, torch.randn(60, 5, dtype=torch.float64))
        count = count_signs(here[:-2], coherent(here))
        pairs, opposite = pairs + count.pairs, opposite + count.opposite
    return Measured(
        "all", float(opposite == 0), 0.0, detail=f"{opposite} of {pairs} pairs opposite, {opposite / pairs:.1%}"
    )


def deep(seed: int) -> Measured:
    """Measure how many vector-Jacobian products follow each other in kickback: the maximum over 1 to 10 layers."""
    layers = (kicking_layers((2,), [2] * count) for count in range(10))
    return Measured("all", max(depth(kickback(targets(0, (2,)), each)) for each in layers), 1.0)


def depth(grammar: Grammar) -> int:
    """Return the largest number of vector-Jacobian products of players on any path of the Response graph."""
    found: dict[str, int] = {}
    for node in grammar.response.nodes:
        own = isinstance(node, Product) and grammar.query.by_name[node.of].owner in grammar.query.player_by_name
        found[node.name] = own + max((found[port.node] for port in node.inputs), default=0)
    return max(found.values())


def kicks(seed: int) -> Measured:
    """Test the kicks that the library's layers compute: vector-Jacobian products with a cotangent of ones.

    The measured value is the largest difference from the same products by torch.
    """
    torch.manual_seed(seed)
    families: Sequence[tuple[Mapping[str, Factory], Tensor]] = [
        (kicking_layers((5,), [6, 4], signed=True, weights=weights), torch.randn(9, 5)) for weights in Weights
    ] + [(kicking_layers((2, 7, 6), [4], [3, 2], signed=True), torch.randn(9, 2, 7, 6))]
    worst = 0.0
    for layers, x in families:
        signal = x.double()
        for factory in layers.values():
            layer = factory().double()
            worst = max(worst, kick_error(layer, signal))
            signal = layer(signal)[0].detach()
    return Measured("all", worst, 1e-12)


SUITE = Suite(
    "kickback",
    (
        Case("unsigned", UNSIGNED, instances=20),
        Case("signed", SIGNED, instances=20),
        Case("convolutional", convolutional, instances=6),
        Case("realisable", realisable, instances=2, learning=Learning(800)),
    ),
    (
        Study("the essay's claim that coherence is enough is refuted", refuted),
        Study("coherent networks of mixed weights receive wrong signs", mixed),
        Study("R is one product deep, however many layers there are", deep),
        Study("a kick is the product of its layer with ones", kicks, instances=3),
    ),
)
