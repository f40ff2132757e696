"""Signs of kickback's estimates: right under the premise, wrong now and then where coherence is all there is."""

import pytest
import torch
from torch import nn

from antiphon.grammars.library.coherence import coherent, count_signs, feedback, kick_error
from antiphon.grammars.library.kicking import RectifierLayer, Weights, kicking_layers

EXAMPLES = 60


def networks(count: int, signed: bool, weights: Weights, channels: tuple[int, ...] = ()):
    """Networks of three to six layers with normal weights and biases, and examples for each."""
    example = (2, 6, 5) if channels else (5,)
    for seed in range(count):
        torch.manual_seed(seed)
        widths = torch.randint(2, 9, (2 + seed % 4,)).tolist()
        made = kicking_layers(example, widths, channels, signed=signed, weights=weights)
        layers = [factory().double() for factory in made.values()]
        for layer in layers:
            for parameter in layer.parameters():
                nn.init.normal_(parameter)
        yield layers, torch.randn(EXAMPLES, *example, dtype=torch.float64)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("channels", [(), (3, 2)])
def test_no_sign_is_opposite_under_the_premise(signed, channels):
    pairs = opposite = closed = 0
    for layers, x in networks(60, signed, Weights.COHERENT, channels):
        found = feedback(layers, x)[:-2]  # the top two are exact, and would only add to the count
        counted = count_signs(found)
        pairs, opposite = pairs + counted.pairs, opposite + counted.opposite
        closed += sum(int((~each.open).sum()) for each in found)
    assert pairs >= 10_000
    assert opposite == 0
    assert closed > 0.05 * pairs  # biases close gates, else there would be little to show


def test_the_top_two_layers_kicks_are_the_factors():
    for layers, x in networks(10, True, Weights.FREE):
        for each in feedback(layers, x)[-2:]:
            assert torch.equal(each.kick, each.factor)


def test_coherence_is_not_enough():
    """Of random networks with mixed weights a few per cent of the signs are wrong where every kick is positive."""
    pairs = opposite = 0
    for layers, x in networks(200, False, Weights.FREE):
        with torch.no_grad():
            for layer in layers[1:]:
                layer.linear.weight += 0.5
        found = feedback(layers, x)
        counted = count_signs(found[:-2], coherent(found))
        pairs, opposite = pairs + counted.pairs, opposite + counted.opposite
    assert pairs > 1000
    assert 0.01 < opposite / pairs < 0.1


def test_without_coherence_far_more_are_wrong():
    counts = [count_signs(feedback(layers, x)[:-2]) for layers, x in networks(40, False, Weights.FREE)]
    assert sum(each.opposite for each in counts) / sum(each.pairs for each in counts) > 0.15


def test_of_sums_over_a_batch_nothing_is_promised():
    """Every example's sign is right, and the sums over the batch differ in sign all the same, for some parameter."""
    found = False
    for layers, x in networks(20, False, Weights.COHERENT):
        beta = torch.randn(len(x), 1, dtype=torch.float64)
        told, *_ = feedback(layers, x)
        (played, _), weight = layers[0](x), layers[0].linear.weight
        one, two = (
            torch.autograd.grad((beta * each * played).sum(), weight, retain_graph=True)[0]
            for each in (told.kick, told.factor)
        )
        found |= bool((one * two < 0).any())
    assert found


class LiteralGate(RectifierLayer):  # pyright: ignore[reportGeneralTypeIssues]
    """The essay's gate: rectified values are never below zero."""

    def forward(self, S):
        played, _ = super().forward(S)
        return played, ((played >= 0).to(S) @ self.linear.weight.detach()).reshape(S.shape)


def test_a_wrong_kick_is_noticed():
    torch.manual_seed(0)
    x = torch.randn(9, 5, dtype=torch.float64)
    assert kick_error(LiteralGate(5, 7).double(), x) > 0.1
    assert kick_error(RectifierLayer(5, 7).double(), x) <= 1e-12
