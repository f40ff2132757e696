"""Kickback: exact on top, right in sign under its premise, and the essay's claim refuted (essay, Grammar 5)."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from antiphon.checks.suite import Case, Learning, Measurement, Study, Suite
from antiphon.envs.dataset import arrays
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import Arrives, promised
from antiphon.grammars.library.coherence import coherent, count_signs, feedback, kick_error
from antiphon.grammars.library.counterexample import Counterexample, smallest_counterexample
from antiphon.grammars.library.kickback import kickback
from antiphon.grammars.library.kicking import OutputLayer, RectifierLayer, Weights, kicking_layers
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.response import Product

BATCH = 32


def unsigned(seed: int) -> Grammar:
    """Four rectifier layers of random widths, weights nonnegative above the first, biases of both signs."""
    return _dense(seed, signed=False)


def signed(seed: int) -> Grammar:
    """Every second unit plays its output with a minus, and what leads into it has one too."""
    return _dense(seed, signed=True)


def convolutional(seed: int) -> Grammar:
    """Two convolutions, a rectifier layer, an output."""
    choose = random.Random(seed)
    example = (choose.randint(1, 3), choose.randint(4, 7), choose.randint(4, 7))
    channels = [choose.randint(1, 3), choose.randint(1, 3)]
    layers = kicking_layers(example, [choose.randint(2, 5)], channels, signed=bool(seed % 2), weights=Weights.COHERENT)
    return kickback(targets(seed, example), layers)


def realisable(seed: int) -> Grammar:
    """A signed network on eight points at once, which it can fit: beta falls to nothing, and with it every gradient.

    Where data cannot be fit, the two layers on top come to rest and the others need not: what they are told adds up to
    zero over the batch elsewhere than the gradient does.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(8, 3, generator=generator)
    y = torch.tanh(x @ torch.randn(3, 1, generator=generator))
    layers = kicking_layers((3,), [16, 16, 16], signed=True, weights=Weights.COHERENT)
    grammar = kickback(arrays(x, y, batch=8, shuffle=False), layers)
    return replace(grammar, guarantee=promised(Arrives(sense="all of them, at a stationary point of the objective")))


def targets(seed: int, example: tuple[int, ...]) -> OracleDeclaration:
    """Normal examples of this shape with normal targets."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(BATCH, *example, generator=generator), torch.randn(BATCH, 1, generator=generator)
    return arrays(x, y, batch=BATCH)


def _dense(seed: int, signed: bool) -> Grammar:
    choose = random.Random(seed)
    inputs, widths = choose.randint(2, 6), [choose.randint(4, 8) for _ in range(4)]
    layers = kicking_layers((inputs,), widths, signed=signed, weights=Weights.COHERENT)
    return kickback(targets(seed, (inputs,)), layers)


def refuted(seed: int) -> Measurement:
    """Search the smallest coherent network with a sign opposite; 0 when there is one and torch confirms its signs."""
    found = smallest_counterexample()
    if found is None:
        return Measurement(1.0, 0.0, "no counterexample of up to 5 units")
    here = feedback(modules_of(found), torch.ones(1, 1, dtype=torch.float64))
    of = here[found.layer - 1]
    signs = bool(coherent(here).all()), float(of.kick[0, found.unit - 1]), float(of.factor[0, found.unit - 1])
    confirmed = signs == (True, found.kick, found.factor)
    return Measurement(float(not confirmed), 0.0, "; ".join(str(found).splitlines()))


def modules_of(found: Counterexample) -> list[RectifierLayer | OutputLayer]:
    """The network of a counterexample as layers of kickback, float64."""
    return [made_of(weights, biases) for weights, biases in zip(found.weights, (*found.biases, None), strict=True)]


def made_of(weights: tuple[tuple[int, ...], ...], biases: tuple[int, ...] | None) -> RectifierLayer | OutputLayer:
    """One layer with given parameters, float64; without biases it is the output."""
    inputs = len(weights[0])
    layer = (OutputLayer(inputs) if biases is None else RectifierLayer(inputs, len(weights))).double()
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor(weights))
        layer.linear.bias.copy_(torch.tensor(biases or [0]))
    return layer


def grammar_of(found: Counterexample) -> Grammar:
    """The counterexample as a grammar: its one example is 1, and the target one that it misses."""
    parts = zip(found.weights, (*found.biases, None), strict=True)
    layers = {f"Layer{index}": Factory.of(made_of, *part) for index, part in enumerate(parts, start=1)}
    one = torch.ones(1, 1, dtype=torch.float64)
    return kickback(arrays(one, -one, batch=1), layers)


def mixed(seed: int) -> Measurement:
    """How often signs are opposite below the top two layers of random networks with mixed weights, over the examples
    on which every kick is positive; 0 when they are at all."""
    torch.manual_seed(seed)
    pairs = opposite = 0
    for _ in range(60):
        layers = [make().double() for make in kicking_layers((5,), [4, 4, 4]).values()]
        for layer in layers:
            torch.nn.init.normal_(layer.linear.weight, 0.0 if layer is layers[0] else 0.5)
        here = feedback(layers, torch.randn(60, 5, dtype=torch.float64))
        count = count_signs(here[:-2], coherent(here))
        pairs, opposite = pairs + count.pairs, opposite + count.opposite
    return Measurement(float(opposite == 0), 0.0, f"{opposite} of {pairs} pairs opposite, {opposite / pairs:.1%}")


def deep(seed: int) -> Measurement:
    """The largest number of players' products on the way to a delivery, over networks of one to ten layers."""
    return Measurement(max(depth(_layers(count)) for count in range(10)), 1.0)


def depth(grammar: Grammar) -> int:
    """How many players' products stand on the longest way to a delivery of R."""
    found: dict[str, int] = {}
    for node in grammar.response.nodes:
        own = isinstance(node, Product) and grammar.query.by_name[node.of].owner in grammar.query.player_by_name
        found[node.name] = own + max((found[port.node] for port in node.inputs), default=0)
    return max(found.values())


def _layers(count: int) -> Grammar:
    return kickback(targets(0, (2,)), kicking_layers((2,), [2] * count))


def kicks(seed: int) -> Measurement:
    """The largest difference between a ready layer's kick and its product with ones, by torch."""
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
    return Measurement(worst, 1e-12)


SUITE = Suite(
    "kickback",
    (
        Case("unsigned", unsigned, instances=20),
        Case("signed", signed, instances=20),
        Case("convolutional", convolutional, instances=6),
        Case("realisable", realisable, instances=2, learning=Learning(800)),
    ),
    (
        Study("the essay's claim that coherence is enough is refuted", refuted),
        Study("coherent networks of mixed weights are told wrong signs", mixed),
        Study("R is one product deep, however many layers there are", deep),
        Study("a kick is the product of its layer with ones", kicks, instances=3),
    ),
)
