"""Gradients and parameters as values of Q: their numbers, the derivative of a gradient, and what is refused."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.errors import AntiphonError, BlackBoxError, GrammarError, ShapeError
from antiphon.grammars import (
    Factory,
    Grammar,
    Order,
    QueryDraft,
    brick,
    chain_rule,
    cost,
    exact,
    gradient,
    minimise,
    parameters_of,
    played_at,
)
from antiphon.grammars.query import Port
from antiphon.grammars.random_grammars import Fork, Soft, TanhLayer, mean_gap, mean_softplus, samples
from antiphon.grammars.reference import compose, reference_gradients
from antiphon.grammars.regrouping.coarsen import coarsen
from antiphon.grammars.regrouping.refine import refine
from antiphon.oracles import black_box, gray_box

D = torch.float64


def grammar_of(q: QueryDraft, *losses, **terms) -> Grammar:
    objective = minimise(*losses, **terms)
    return Grammar("second", q.graph(), chain_rule(q, objective), objective, exact())


def played(grammar: Grammar):
    """What was delivered, the parameters, and all values of the round as torch computes them."""
    with InlineExecutor(assign(grammar, RECORDER, seed=3)) as executor:
        states = executor.states()
        executor.play(1)
        found = delivered(executor)
    composed = compose(grammar, states, 3)
    return found, composed.modules, composed.values, reference_gradients(grammar, states, 3)


def assert_close(found, expected) -> None:
    for one, two in zip(found, expected, strict=True):
        assert (one - two).abs().max() <= 1e-10 * two.abs().max()


def squares(*values: Tensor) -> Tensor:
    return sum((value.square().sum() for value in values), torch.zeros((), dtype=D))


def test_gradients_of_a_player_that_is_asked_twice_and_forks_and_their_derivatives():
    """A way through two uses of one player, a node of two outputs, an operator, a fan-out, and a gray oracle."""
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(4, (3,), (2,)))()
    same, fork, end = q.player("Same", TanhLayer, 3, 3), q.player("Fork", Fork, 3, 2), q.player("End", Soft, 2, 2)
    first = same(x)
    left, right = fork(same(first))
    bent = q.oracle("Medium", gray_box(Factory.of(Sine), [right.type], [right.type], sizes={"batch": 4}))(right)
    value = q.operator("add", torch.add)(left, q.player("Down", TanhLayer, 3, 2)(bent))
    loss = q.loss("Loss", mean_gap)(end(value), y)
    about = (x, first, same, fork, end)
    slopes = gradient(q, loss, *about)
    assert {each.type.order for each in slopes} == {Order.FIRST}
    total = q.loss("Slopes", squares)(*slopes)
    found, modules, values, reference = played(grammar_of(q, total, loss))

    x, y = (values[Port("Nature.sample", index)].detach() for index in range(2))
    x.requires_grad_()
    h = modules["Same"](x)
    one, two = modules["Fork"](modules["Same"](h))
    out = mean_gap(modules["End"](one + modules["Down"](torch.sin(two))), y)
    parameters = {name: list(module.parameters()) for name, module in modules.items()}
    # the gradient about `first` passes only what comes after it
    asked = [x, h, *parameters["Same"], *parameters["Fork"], *parameters["End"]]
    told = torch.autograd.grad(out, asked, create_graph=True)
    flat = torch.cat([each.reshape(-1) for each in told])
    assert_close([torch.cat([values[each.port].reshape(-1) for each in slopes])], [flat])
    for name, each in parameters.items():
        expected = torch.autograd.grad(flat.square().sum() + out, each, retain_graph=True)
        assert_close(found[name], expected)
        assert_close(reference[name], expected)


class Sine:
    """Gray."""

    def __call__(self, value: Tensor) -> Tensor:
        return torch.sin(value)


def test_a_third_derivative_and_a_cotangent():
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(4, (3,), (3,)))()
    layer = q.player("Layer", TanhLayer, 3, 3)
    once = gradient(q, layer(x), x, cotangent=y)
    twice = gradient(q, once, x)  # of the sum of its numbers
    found, modules, values, reference = played(grammar_of(q, q.loss("Loss", mean_softplus)(twice)))
    x, y = (values[Port("Nature.sample", index)].detach() for index in range(2))
    x.requires_grad_()
    (one,) = torch.autograd.grad(modules["Layer"](x), x, y, create_graph=True)
    (two,) = torch.autograd.grad(one.sum(), x, create_graph=True)
    expected = torch.autograd.grad(mean_softplus(two), list(modules["Layer"].parameters()))
    assert_close(found["Layer"], expected)
    assert_close(reference["Layer"], expected)


def test_parameters_are_values_and_a_player_is_asked_at_others(begun):
    q, x, y = begun
    layer = q.player("Layer", TanhLayer, 3, 2)
    loss = q.loss("Loss", mean_gap)(layer(x), y)
    own = parameters_of(layer)
    moved = q.operator("move", torch.sub)(own, gradient(q, loss, layer))
    there = q.loss("There", mean_gap)(played_at(layer, moved, x), y)
    grammar = grammar_of(q, there)
    assert not grammar.query.by_name["Layer at"].learned
    found, modules, values, reference = played(grammar)
    x, y = (values[Port("Nature.sample", index)].detach() for index in range(2))
    weight, bias = parameters = list(modules["Layer"].parameters())
    steps = torch.autograd.grad(mean_gap(torch.tanh(x @ weight.T + bias), y), parameters, create_graph=True)
    w, b = (each - step for each, step in zip(parameters, steps, strict=True))
    expected = torch.autograd.grad(mean_gap(torch.tanh(x @ w.T + b), y), parameters)
    assert_close(found["Layer"], expected)
    assert_close(reference["Layer"], expected)


class Dropped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), 2.0, dtype=D))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x * self.weight, 0.5)


def test_a_gradient_draws_the_random_numbers_of_the_node_that_it_differentiates(begun):
    q, x, _ = begun
    out = q.player("Dropped", Dropped)(x)
    slope = gradient(q, out, x)
    grammar = grammar_of(q, q.loss("Loss", squares)(slope))
    seen = {}
    with InlineExecutor(assign(grammar, RECORDER), watch=lambda _, held: seen.update(held)) as executor:
        executor.play(2)
    values = {slot.port: value for slot, value in seen.items()}
    assert 0 < (values[out.port] == 0).sum() < 12
    assert torch.equal(values[out.port], values[slope.port] * values[x.port])


def test_a_product_as_a_value_is_printed_and_counted(begun):
    q, x, y = begun
    layer = q.player("Layer", TanhLayer, 3, 2)
    plain = grammar_of(q, q.loss("Loss", mean_gap)(layer(x), y))
    slope = gradient(q, layer(x), x)
    grammar = grammar_of(q, q.loss("Slope", squares)(slope))
    assert "Layer#2' = player Layer, product of Layer#2, toward input 0 (Nature.sample) -> float64[batch, 3]" in repr(
        grammar
    )
    assert "Layer#2' * = Layer#2' * (Slope *) -> parameters" in repr(grammar)
    counted = cost(grammar)
    assert counted.gradients == {"Slope": 1, "Layer": 2}  # one in Q, one in R
    assert counted.bytes(Order.FIRST) == cost(plain).bytes(Order.FIRST) - 4 * 2 * 8 + 2 * 4 * 3 * 8
    assert grammar.signature != plain.signature


class OnceDifferentiable(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.exp()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,) = ctx.saved_tensors
        return gradient * x.exp()


class InNumpy(OnceDifferentiable):
    @staticmethod
    def backward(ctx, gradient):  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,) = ctx.saved_tensors
        return torch.from_numpy(gradient.detach().numpy() * x.detach().exp().numpy())


class ByHand(nn.Module):
    def __init__(self, function: type[torch.autograd.Function]) -> None:
        super().__init__()
        self.layer, self.function = nn.Linear(3, 2, dtype=D), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function.apply(self.layer(x))  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize("function", [OnceDifferentiable, InNumpy])
def test_a_gradient_that_cannot_be_differentiated_again_may_only_be_held(function, begun, refusal):
    q, x, y = begun
    out = q.player("Hand", ByHand, function)(x)
    slope = gradient(q, out, x)
    total, loss = q.loss("Slope", squares)(slope), q.loss("Loss", mean_gap)(out, y)
    text = refusal(GrammarError, lambda: grammar_of(q, total))
    assert '"Hand\'"' in text and "'Hand'" in text and "held=" in text
    assert ("once_differentiable" if function is OnceDifferentiable else "numpy") in text
    by_value = minimise(total, held=[slope]) + minimise(loss)
    Grammar("held", q.graph(), chain_rule(q, by_value), by_value, exact())


def half(x: Tensor) -> Tensor:
    return x / 2


def test_what_has_no_gradient_is_refused_where_it_is_asked(begun, refusal):
    q, x, y = begun
    layer, other = q.player("Layer", TanhLayer, 3, 2), q.player("Other", TanhLayer, 3, 3)
    text = refusal(GrammarError, lambda: parameters_of(layer))
    assert "'Layer'" in text and "before" in text
    out = layer(q.oracle("Box", black_box(half, [x.type], [x.type], sizes={"batch": 4}))(other(x)))
    loss = q.loss("Loss", mean_gap)(out, y)
    assert "'Box'" in refusal(BlackBoxError, lambda: gradient(q, loss, other))
    assert "'Loss'" not in (text := refusal(GrammarError, lambda: gradient(q, out, y))) and "Layer" in text
    assert "Layer" in refusal(GrammarError, lambda: gradient(q, out))
    assert "Layer" in refusal(ShapeError, lambda: gradient(q, out, layer, cotangent=x))
    several = q.player("Several", brick({"Low": Factory.of(TanhLayer, 3, 3)}))
    assert "'Several'" in refusal(GrammarError, lambda: gradient(q, out, several))
    assert "another draft" in refusal(GrammarError, lambda: gradient(QueryDraft(), out, layer))
    text = refusal(ShapeError, lambda: played_at(layer, x, x))
    assert "'Layer'" in text and "float64[8]" in text and "float64[batch, 3]" in text


def test_a_module_that_changes_its_buffers_is_refused(begun):
    q, x, _ = begun
    normed = q.player("Normed", nn.BatchNorm1d, 3, dtype=D)(x)
    with pytest.raises(AntiphonError, match="buffers"):
        gradient(q, normed, x)


def test_players_whose_gradient_is_a_value_are_not_regrouped(begun, refusal):
    q, x, _ = begun
    layer = q.player("Layer", TanhLayer, 3, 3)
    slope = gradient(q, layer(x), x)
    grammar = grammar_of(q, q.loss("Loss", mean_softplus)(q.player("End", Soft, 3, 2)(slope)))
    for act in (lambda: refine(grammar, "Layer"), lambda: coarsen(grammar, ["Layer", "End"], "Both")):
        assert '"Layer\'"' in refusal(GrammarError, act)


def test_micro_batches_keep_the_gradients():
    """The gradient of a mean, and of parameters, is that of the whole batch; that of a player is computed apart."""
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(4, (3,), (2,)))()
    low, high = q.player("Low", TanhLayer, 3, 3), q.player("High", TanhLayer, 3, 2)
    loss = q.loss("Loss", mean_gap)(high(low(x)), y)
    slopes = gradient(q, loss, x, high)
    total = q.loss("Slopes", squares)(*slopes, gradient(q, high(x), x))
    grammar = grammar_of(q, total, loss)
    results = []
    for microbatches in (1, 2):
        with InlineExecutor(assign(grammar, RECORDER, microbatches=microbatches, seed=1)) as executor:
            executor.play(1)
            results.append(delivered(executor))
    for one, two in pairwise(results):
        for player in one:
            assert_close(two[player], one[player])
