"""Rules of credit assignment: each player receives what the paper's rule gives, written by hand with autograd."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, one_hot

from antiphon.envs import arrays
from antiphon.errors import GrammarError
from antiphon.grammars.cost import response_depth
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library import (
    Perceptron,
    activated_layers,
    backprop,
    dense_layers,
    feedback_alignment,
    sign_symmetry,
    synthetic_gradients,
    target_propagation,
)
from antiphon.grammars.library.feedforward import feedforward, responses
from antiphon.grammars.library.synthetic_gradients import Guesser
from antiphon.grammars.precision import in_float64
from antiphon.grammars.promotion import in_double
from antiphon.grammars.query import Port
from antiphon.grammars.reference import Composed
from antiphon.grammars.response import Map
from antiphon.oracles import gaussian

BATCH, INPUTS, WIDTHS, CLASSES, RATE = 9, 5, (7, 6, 4), 3, 0.3
NAMES = [f"Dense{index}" for index in range(1, 4)]
Told = Mapping[str, Tensor]


def nature():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(BATCH, INPUTS, generator=generator), torch.randint(CLASSES, (BATCH,), generator=generator)
    return arrays(x, y, batch=BATCH, shuffle=False)


LAYERS = activated_layers((INPUTS,), WIDTHS, CLASSES)


def guessing() -> Grammar:
    guessers = {name: Factory.of(Guesser, width, CLASSES, (5,)) for name, width in zip(NAMES, WIDTHS, strict=True)}
    return synthetic_gradients(nature(), LAYERS, guessers)


def targeting(difference: bool) -> Grammar:
    pairs = {"Dense2": (6, 7), "Dense3": (4, 6)}
    inverses = {name: Factory.of(Perceptron, *pair, (5,)) for name, pair in pairs.items()}
    noises = {name: gaussian((pair[1],), batch=BATCH) for name, pair in pairs.items()}
    return target_propagation(nature(), LAYERS, inverses, noises, rate=RATE, difference=difference)


@pytest.fixture
def play(first_round) -> Callable[..., tuple[Told, Composed]]:
    """What each player received in the first round, in float64; and the values and modules of that round."""

    def play(grammar: Grammar, seed: int = 0) -> tuple[Told, Composed]:
        with in_double():
            told, composed = first_round(in_float64(grammar), seed)
        return {name: flat(each) for name, each in told.items()}, composed

    return play


def flat(tensors) -> Tensor:
    return torch.cat([each.detach().reshape(-1) for each in tensors])


def gap(one: Tensor, two: Tensor) -> float:
    return float((one - two).abs().max() / two.abs().max())


def gradients(of: Tensor, module: nn.Module) -> Tensor:
    return flat(torch.autograd.grad(of, [*module.parameters()], retain_graph=True))


def data(composed: Composed) -> tuple[Tensor, Tensor]:
    return composed.values[Port("Nature.sample", 0)], composed.values[Port("Nature.sample", 1)]


def matrices(grammar: Grammar) -> dict[str, Tensor]:
    maps = [node for node in grammar.response.nodes if isinstance(node, Map)]
    return {each.name.removeprefix("feedback to "): dict(each.operation.keywords)["matrix"].double() for each in maps}


class Feedback(torch.autograd.Function):
    """A linear layer whose backward multiplies by a fixed matrix (Lillicrap et al. 2016)."""

    @staticmethod
    def forward(ctx, x, weight, bias, matrix):
        ctx.save_for_backward(x, matrix)
        return x @ weight.T + bias

    @staticmethod
    def backward(ctx, *deltas):
        x, matrix = ctx.saved_tensors
        return deltas[0] @ matrix, deltas[0].T @ x, deltas[0].sum(0), None


def by_feedback(grammar: Grammar, composed: Composed) -> Told:
    drawn = matrices(grammar)
    fed = {above: drawn[below] for below, above in zip(NAMES, [*NAMES[1:], "Output"], strict=True)}
    return fed_with({name: composed.modules[name] for name in [*NAMES, "Output"]}, fed, *data(composed))


def by_signs(grammar: Grammar, composed: Composed) -> Told:
    modules: dict[str, Any] = {name: composed.modules[name].module for name in [*NAMES, "Output"]}
    inputs = zip([*NAMES, "Output"], [INPUTS, *WIDTHS], strict=True)
    fed = {name: modules[name].weight.detach().sign() / math.sqrt(3 * width) for name, width in inputs}
    return fed_with(modules, fed, *data(composed))


def fed_with(modules: Mapping[str, Any], fed: Mapping[str, Tensor], signal: Tensor, y: Tensor) -> Told:
    """The gradients of layers that multiply by the matrices `fed` on the way back, by the layer's name."""
    for name, module in modules.items():
        signal = Feedback.apply(signal, module.weight, module.bias, fed.get(name, torch.zeros(7, 5).double()))
        signal = signal if name == "Output" else torch.tanh(signal)
    return {name: gradients(cross_entropy(signal, y), module) for name, module in modules.items()}


def by_direct_feedback(grammar: Grammar, composed: Composed) -> Told:
    signal, y = data(composed)
    played = [signal]
    for name in NAMES:
        played.append(torch.tanh(composed.modules[name](played[-1])).detach())
    output = composed.modules["Output"](played[-1])
    error = (output.softmax(1) - one_hot(y, CLASSES)).detach() / BATCH
    found = {"Output": flat([error.T @ played[-1], error.sum(0)])}
    for name, before, after in zip(NAMES, played[:-1], played[1:], strict=True):
        delta = (error @ matrices(grammar)[name]) * (1 - after**2)
        found[name] = flat([delta.T @ before, delta.sum(0)])
    return found


def by_guesses(grammar: Grammar, composed: Composed) -> Told:
    signal, y = data(composed)
    found, modules = dict[str, Tensor](), composed.modules
    before, losses = [signal], dict[str, Tensor]()
    for index, name in enumerate(NAMES, start=1):
        after = torch.tanh(modules[name](before[-1]))
        losses[name] = (modules[f"Guess{index}"](after, y).detach() * after).sum() / BATCH
        before.append(after.detach().requires_grad_())
    losses["Output"] = cross_entropy(modules["Output"](before[-1]), y)
    for index, (name, played) in enumerate(zip([*NAMES[1:], "Output"], before[1:], strict=True), start=1):
        (delta,) = torch.autograd.grad(losses[name], played, retain_graph=True)
        regression = (modules[f"Guess{index}"](played.detach(), y) - BATCH * delta).square().sum(1).mean()
        found[f"Guess{index}"] = gradients(regression, modules[f"Guess{index}"])
    return found | {name: gradients(loss, modules[name]) for name, loss in losses.items()}


def by_targets(difference: bool) -> Callable[[Grammar, Composed], Told]:
    def rule(grammar: Grammar, composed: Composed) -> Told:
        signal, y = data(composed)
        modules, found, played = composed.modules, dict[str, Tensor](), [signal]
        for name in NAMES:
            played.append(torch.tanh(modules[name](played[-1].detach())))
        top = played[-1].detach().requires_grad_()
        loss = cross_entropy(modules["Output"](top), y)
        (slope,) = torch.autograd.grad(loss, top, retain_graph=True)
        found["Output"], target = gradients(loss, modules["Output"]), top.detach() - RATE * BATCH * slope
        for index in (3, 2, 1):
            S, below = played[index], played[index - 1].detach()
            gap = 0.5 / RATE * (S - target).square().sum(1).mean()
            found[NAMES[index - 1]] = gradients(gap, modules[NAMES[index - 1]])
            if index > 1:
                g = modules[f"Inverse{index}"]
                noisy = below + composed.values[Port(f"Noise{index}.sample")]
                rebuilt = g(torch.tanh(modules[NAMES[index - 1]](noisy)).detach())
                found[f"Inverse{index}"] = gradients(mse_loss(rebuilt, noisy), g)
                target = ((below - g(S) if difference else 0.0) + g(target)).detach()
        return found

    return rule


RULES = {
    "feedback": (lambda: feedback_alignment(nature(), LAYERS, seed=3), by_feedback),
    "direct feedback": (lambda: feedback_alignment(nature(), LAYERS, direct=True, seed=3), by_direct_feedback),
    "signs": (lambda: sign_symmetry(nature(), LAYERS), by_signs),
    "guesses": (guessing, by_guesses),
    "difference targets": (lambda: targeting(True), by_targets(True)),
    "plain targets": (lambda: targeting(False), by_targets(False)),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(3))
def test_every_player_receives_what_the_papers_rule_gives(rule, seed, play):
    make, by_hand = RULES[rule]
    told, composed = play(grammar := make(), seed)
    with in_double():
        expected = by_hand(grammar, composed)
    assert told.keys() == expected.keys() == set(grammar.query.player_by_name)
    assert max(gap(told[name], expected[name]) for name in told) <= 1e-10


@pytest.mark.parametrize("rule", RULES)
def test_and_that_is_not_the_gradient_below_the_top(rule, play):
    told, composed = play(RULES[rule][0]())
    assert gap(told["Output"], flat(composed.gradient("Output"))) <= 1e-10
    assert min(gap(told[name], flat(composed.gradient(name))) for name in NAMES[:2]) > 0.1


@pytest.mark.parametrize("difference", [True, False])
def test_the_highest_target_is_a_step_along_the_gradient(difference, play):
    told, composed = play(targeting(difference))
    assert gap(told["Dense3"], flat(composed.gradient("Dense3"))) <= 1e-8


def test_the_chain_rule_is_one_of_the_rules():
    network = feedforward(nature(), LAYERS, Factory(cross_entropy))
    r = responses(network, lambda r, layer, arrived: arrived.product.toward(0)).graph()
    plain = backprop(nature(), LAYERS)
    assert (network.q.graph(), r) == (plain.query, plain.response)


def depths(make: Callable[..., Grammar], layers=dense_layers) -> list[int]:
    """The depth of R for networks of three and of six players."""
    return [response_depth(make(layers((INPUTS,), [4] * count, CLASSES))) for count in (2, 5)]


def test_the_depth_of_r():
    """Who guesses waits for one product of the next layer, which waits for its own guess only."""
    assert depths(lambda layers: backprop(nature(), layers)) == [3, 6]
    assert depths(lambda layers: feedback_alignment(nature(), layers), activated_layers) == [3, 6]
    assert depths(lambda layers: sign_symmetry(nature(), layers), activated_layers) == [3, 6]
    assert depths(lambda layers: feedback_alignment(nature(), layers, direct=True)) == [1, 1]
    linear = Factory.of(Guesser, 4, CLASSES)
    assert depths(lambda layers: synthetic_gradients(nature(), layers, dict.fromkeys([*layers][:-1], linear))) == [2, 2]


def test_two_seeds_draw_other_matrices_and_other_grammars():
    one, two, same = (feedback_alignment(nature(), LAYERS, seed=seed) for seed in (0, 1, 0))
    assert one.signature == same.signature != two.signature


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: feedback_alignment(nature(), {"bend": Factory.of(nn.Tanh)}), ["'bend'", "at least 1"]),
        (lambda: synthetic_gradients(nature(), LAYERS, {"Dense1": LAYERS["Dense1"]}), ["'Dense1'", "'Dense3'"]),
        (lambda: target_propagation(nature(), LAYERS, {}, {}), ["inverses", "'Dense2', 'Dense3'"]),
        (lambda: target_propagation(nature(), {"Only": Factory.of(nn.Linear, 5, 3)}, {}, {}), ["at least 2"]),
    ],
)
def test_what_does_not_fit_is_refused(make, told):
    with pytest.raises(GrammarError) as refused:
        make()
    assert all(each in str(refused.value) for each in told)
