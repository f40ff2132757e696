"""Edits that lead a gradient past a product: what is delivered equals a hand-written backward of torch."""

import itertools
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.errors import PlacementError
from antiphon.grammars import Grammar, Message, QueryDraft, Upstream, chain_rule, fixed_matrix, minimise
from antiphon.grammars.query import Kind, Port
from antiphon.grammars.random_edits import with_random_edits
from antiphon.grammars.random_grammars import draw_grammar, mean_gap, sample_grammar, samples
from antiphon.grammars.seeds import stream

WIDTHS = (3, 5, 4, 2)


class Shown(nn.Module):
    """A linear layer that also plays the signs of its weights, for the way back."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, out, dtype=torch.float64)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the layer's output, (batch, out), and the signs, (out, width)."""
        return self.layer(x), self.layer.weight.sign()


DRAWS = torch.Generator().manual_seed(0)
MATRICES = {
    f"Layer{index}": torch.randn(out, width, generator=DRAWS, dtype=torch.float64)
    for index, (width, out) in enumerate(itertools.pairwise(WIDTHS))
}
DIRECT = {name: torch.randn(2, each.shape[1], generator=DRAWS, dtype=torch.float64) for name, each in MATRICES.items()}


def sign_symmetry(upstream: Upstream) -> Message:
    if upstream.source.kind is not Kind.PLAYER:
        return upstream.message
    signs = upstream.response.tap(Port(upstream.source.name, 1))
    return upstream.response.map(torch.matmul, upstream.cotangent, signs)


def feedback_alignment(upstream: Upstream) -> Message:
    if upstream.source.owner not in MATRICES:
        return upstream.message
    return upstream.response.map(fixed_matrix, upstream.cotangent, matrix=MATRICES[upstream.source.owner])


def direct_feedback(upstream: Upstream) -> Message:
    if upstream.source.owner not in DIRECT:
        return upstream.message
    error = upstream.arrived[Port("Layer2")]
    return upstream.response.map(fixed_matrix, error, matrix=DIRECT[upstream.source.owner])


def game(edit: Any) -> Grammar:
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(6, (3,), (2,)))()
    for index, (width, out) in enumerate(itertools.pairwise(WIDTHS)):
        x, _ = q.player(f"Layer{index}", Shown, width, out)(
            x if index == 0 else q.operator(f"bend{index}", torch.tanh)(x)
        )
    objective = minimise(q.loss("Loss", mean_gap)(x, y))
    return Grammar("layers", q.graph(), chain_rule(q, objective, edit=edit), objective)


class Backward(torch.autograd.Function):
    """A linear layer whose gradient towards its input is `way(gradient)`, and that also keeps the last gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, way: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.way = way
        return x @ weight.T + bias

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (x,), (gradient,) = ctx.saved_tensors, gradients
        return ctx.way(gradient), gradient.T @ x, gradient.sum(0), None


def by_hand(layers: list[Shown], x: Tensor, y: Tensor, way: Callable[[int, Tensor, Tensor], Tensor]) -> list[Tensor]:
    """Return the gradients of all layers. way: (index of the layer, its gradient, the output's error) -> upstream."""
    error: list[Tensor] = []

    def way_of(index: int) -> Callable[[Tensor], Tensor]:
        def back(gradient: Tensor) -> Tensor:
            error.append(gradient)
            return way(index, gradient, error[0])

        return back

    for index, layer in enumerate(layers):
        x = Backward.apply(x if index == 0 else x.tanh(), layer.layer.weight, layer.layer.bias, way_of(index))
    return list(torch.autograd.grad(mean_gap(x, y), [each for layer in layers for each in layer.parameters()]))


@pytest.mark.parametrize(
    ("edit", "way"),
    [
        (sign_symmetry, lambda layers: lambda index, gradient, _: gradient @ layers[index].layer.weight.sign()),
        (feedback_alignment, lambda _: lambda index, gradient, _: gradient @ MATRICES[f"Layer{index}"]),
        (direct_feedback, lambda _: lambda index, _, error: error @ DIRECT[f"Layer{index}"]),
    ],
)
def test_a_way_back_of_ones_own_equals_a_hand_written_backward(edit, way):
    grammar = game(edit)
    found, states = played(grammar)
    layers = [player.factory() for player in grammar.query.players]
    for layer, player in zip(layers, grammar.query.players, strict=True):
        layer.load_state_dict(states[player.name]["parameters"])
    (nature,) = grammar.query.oracles
    x, y = nature.declaration.make(stream(0, "oracle", "Nature")).answer("sample", (), 0)
    expected = by_hand(layers, x.requires_grad_(), y, way(layers))
    for one, two in zip(
        (each for player in grammar.query.players for each in found[player.name]), expected, strict=True
    ):
        assert torch.allclose(one, two, rtol=1e-10, atol=1e-12 * float(two.abs().max()))
    plain = played(game(()))[0]
    assert not torch.allclose(found["Layer0"][0], plain["Layer0"][0])


def played(grammar: Grammar, **assigned: Any):
    with InlineExecutor(assign(grammar, RECORDER, **assigned)) as executor:
        states = executor.states()
        executor.play(1)
        return delivered(executor), states


@settings(max_examples=25)
@given(st.data())
def test_random_edits_deliver_the_same_in_every_placement_and_in_microbatches(data):
    def choose(count: int) -> int:
        return data.draw(st.integers(0, count - 1))

    grammar = with_random_edits(draw_grammar(choose, batch=4), choose)
    together, _ = played(grammar)
    apart, _ = played(grammar, placement=spread(grammar))
    try:
        divided, _ = played(grammar, microbatches=2)
    except PlacementError:
        divided = together
    for player, gradients in together.items():
        for one, two, three in zip(gradients, apart[player], divided[player], strict=True):
            assert torch.equal(one, two), player
            assert (one - three).abs().max() <= 1e-9 * max(float(one.abs().max()), 1e-3), player


def test_the_random_edits_are_of_every_sort():
    grammars = [with_random_edits(sample_grammar(seed), Random(seed).randrange) for seed in range(40)]
    names = {node.name.split("#")[0] for grammar in grammars for node in grammar.response.nodes}
    assert {"negate", "scale", "lean"} <= names
    plain = [chain_rule(each.query, each.objective) for each in grammars]
    assert sum(one.response != two for one, two in zip(grammars, plain, strict=True)) > 20
