"""A backward that a user wrote is compared with differences of the values, and the report says how."""

import pytest
import torch
from torch import Tensor, nn

from antiphon.checks.instance import Instance
from antiphon.checks.measure import measure
from antiphon.checks.measured import Measured
from antiphon.checks.suite import Learning
from antiphon.grammars import Descent, Exact, Grammar, QueryDraft, SignCorrect, chain_rule, exact, gradient, minimise
from antiphon.grammars.random_grammars import TanhLayer, mean_gap, samples

EVERYWHERE = Exact()


def measured(grammar: Grammar, promise: Exact | Descent | SignCorrect = EVERYWHERE) -> dict[str, Measured]:
    return {each.player: each for each in measure(promise, Instance(grammar, 3, Learning(50)))}


class Halved(torch.autograd.Function):
    """Twice the value, whose backward lacks the factor 2."""

    @staticmethod
    def forward(ctx, value: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return 2 * value

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return gradient


class Whole(Halved):
    """Twice the value, and its derivative."""

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return 2 * gradient


def through(operation) -> Grammar:
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(5, (3,), (2,)))()
    played = q.operator("double", operation)(q.player("Below", TanhLayer, 3, 2)(x))
    objective = minimise(q.loss("Loss", mean_gap)(q.player("Above", TanhLayer, 2, 2)(played), y))
    return Grammar("double", q.graph(), chain_rule(q, objective), objective, exact())


def halved(value: Tensor) -> Tensor:
    return Halved.apply(value)  # pyright: ignore[reportReturnType]


def whole(value: Tensor) -> Tensor:
    return Whole.apply(value)  # pyright: ignore[reportReturnType]


def held(value: Tensor) -> Tensor:
    """Part of it is held fixed, as its author wants: no wrong derivative."""
    with torch.no_grad():
        size = value.abs().sum(1, keepdim=True)
    return value / size + value.detach() * value + torch.relu(value).max(1, keepdim=True).values


def hooked(value: Tensor) -> Tensor:
    value = 2 * value
    if value.requires_grad:
        value.register_hook(half)
    return value


def half(gradient: Tensor) -> Tensor:
    return gradient / 2


def packed(value: Tensor) -> Tensor:
    with torch.autograd.graph.saved_tensors_hooks(half, torch.clone):
        return value.square()


@torch.library.custom_op("antiphon_tests::doubled", mutates_args=())
def doubled(value: Tensor) -> Tensor:
    return 2 * value


doubled.register_autograd(lambda ctx, gradient: gradient)


def dropped(value: Tensor) -> Tensor:
    return nn.functional.dropout(value, 0.5)


class Exponential(torch.autograd.Function):
    """The exponential function. Its derivative is right, and can be differentiated again."""

    @staticmethod
    def forward(ctx, value: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(value)
        return value.exp()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (value,) = ctx.saved_tensors
        return gradient * value.exp()


class OnceRight(Exponential):
    """The same, but its derivative is a constant for autograd."""

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (value,) = ctx.saved_tensors
        return gradient * value.detach().exp()


@pytest.mark.parametrize(("function", "kept"), [(Exponential, True), (OnceRight, False)])
def test_a_second_derivative_by_hand_is_compared_with_differences_of_the_first(function, kept):
    def operation(value: Tensor) -> Tensor:
        return function.apply(value)  # pyright: ignore[reportReturnType]

    q = QueryDraft()
    x, y = q.oracle("Nature", samples(5, (3,), (3,)))()
    slope = gradient(q, q.operator("exp", operation)(q.player("Below", TanhLayer, 3, 3)(x)), x)
    objective = minimise(q.loss("Loss", mean_gap)(slope, y))
    found = measured(Grammar("slope", q.graph(), chain_rule(q, objective), objective, exact()))["Below"]
    assert found.kept == kept
    assert "exp'" in (found.detail if kept else found.operator)


@pytest.mark.parametrize("operation", [halved, hooked, packed, doubled])
@pytest.mark.parametrize("promise", [Exact(), Descent(), SignCorrect()])
def test_an_operator_whose_backward_is_wrong_is_blamed_though_r_and_the_reference_agree(operation, promise):
    found = measured(through(operation), promise)
    assert [name for name, each in found.items() if not each.kept] == ["Below"]
    assert found["Below"].operator == "double"
    assert "0.5 times" in found["Below"].detail


@pytest.mark.parametrize("operation", [torch.clone, held, dropped, torch.relu, torch.abs])
def test_kinks_noise_and_what_is_held_fixed_raise_no_false_alarm(operation):
    def compared(value: Tensor) -> Tensor:
        return operation(whole(value))

    found = measured(through(compared))
    assert all(each.kept for each in found.values())
    assert "agrees with differences" in found["Below"].detail


def cornered(value: Tensor) -> Tensor:
    """Played at its corner, wherever it is played: it has no derivative there, so no backward is wrong."""
    return whole(value) + torch.relu(value - value.detach())


def test_what_cannot_be_compared_by_differences_is_said():
    found = measured(through(cornered))
    assert all(each.kept for each in found.values())
    assert "'double', written by hand, was not compared with differences: it has a kink" in found["Below"].detail
    assert not found["Above"].detail
